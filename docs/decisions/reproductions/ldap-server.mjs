/**
 * The least LDAP server that passport-ldapauth can log in against: it knows one service account and alice, speaks no
 * TLS at all, writes down every operation it reads in clear, and answers StartTLS as it is told (RFC 4511).
 */
import net from 'node:net'
import { listen } from './stage.mjs'

export const service = { dn: 'cn=gateway,dc=example,dc=org', password: 'service-secret' }
export const alice = { dn: 'uid=alice,ou=people,dc=example,dc=org', password: 'alice-secret' }

/** Tags of the operations (RFC 4511, appendix B); an answer carries the tag of its request plus one. */
const operation = { bind: 0x60, search: 0x63, entry: 0x64, searchDone: 0x65, extended: 0x77 }
const resultCode = { success: 0, protocolError: 2, invalidCredentials: 49 }

/** One BER element with definite length, up to 65,535 bytes. */
function element(tag, ...parts) {
  const content = Buffer.concat(parts.map((part) => Buffer.from(part)))
  const { length } = content
  const header = length < 128 ? [tag, length] : [tag, 0x82, length >> 8, length & 255]
  return Buffer.concat([Buffer.from(header), content])
}

/** Takes the first element off the bytes, or returns undefined while it is not complete. */
function takeElement(bytes) {
  if (bytes.length < 2) return undefined
  const longForm = bytes[1] > 127 ? bytes[1] - 128 : 0
  if (bytes.length < 2 + longForm) return undefined
  const length = longForm === 0 ? bytes[1] : bytes.readUIntBE(2, longForm)
  const end = 2 + longForm + length
  if (bytes.length < end) return undefined
  return { tag: bytes[0], content: bytes.subarray(2 + longForm, end), rest: bytes.subarray(end) }
}

const result = (tag, code) => element(tag, element(0x0a, [code]), element(0x04, ''), element(0x04, ''))

const aliceEntry = element(
  operation.entry,
  element(0x04, alice.dn),
  element(0x30, element(0x30, element(0x04, 'uid'), element(0x31, element(0x04, 'alice')))),
)

/** Name and password of a simple bind request. */
function readBind(content) {
  const name = takeElement(takeElement(content).rest)
  return { dn: name.content.toString(), password: takeElement(name.rest).content.toString() }
}

/** Answers one operation and returns the line that the record of the scene gets. */
function answer(request, reply, startTls) {
  if (request.tag === operation.bind) {
    const { dn, password } = readBind(request.content)
    const known = [service, alice].some((account) => account.dn === dn && account.password === password)
    reply(result(operation.bind + 1, known ? resultCode.success : resultCode.invalidCredentials))
    return `bind ${dn} with password ${password}`
  }
  if (request.tag === operation.search) {
    if (request.content.includes('alice')) reply(aliceEntry)
    reply(result(operation.searchDone, resultCode.success))
    return 'search'
  }
  if (request.tag === operation.extended) {
    if (startTls === 'refused') reply(result(operation.extended + 1, resultCode.protocolError))
    return `StartTLS, ${startTls}`
  }
  return 'unbind'
}

/**
 * Starts the server. `startTls`: 'unanswered' or 'refused'. `seen` holds one line per operation that was read in
 * clear, numbered by connection, in the order of arrival.
 */
export async function startLdapServer(startTls) {
  const seen = []
  let connections = 0
  const server = net.createServer((socket) => {
    const connection = ++connections
    let pending = Buffer.alloc(0)
    socket.on('data', (chunk) => {
      pending = Buffer.concat([pending, chunk])
      for (let message = takeElement(pending); message !== undefined; message = takeElement(pending)) {
        pending = message.rest
        const id = takeElement(message.content)
        const reply = (bytes) => socket.write(element(0x30, element(0x02, id.content), bytes))
        const line = answer(takeElement(id.rest), reply, startTls)
        seen.push(`connection ${connection}: ${line}`)
      }
    })
  })
  const { port, close } = await listen(server)
  return { url: `ldap://127.0.0.1:${port}`, seen, close }
}
