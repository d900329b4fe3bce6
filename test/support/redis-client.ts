import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import type { Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { soonMs } from './until.ts'

/** What Redis answers: texts, integers, nothing, and lists of them. An error inside a list stands there as one. */
export type RedisReply = string | number | null | Error | readonly RedisReply[]

export type RedisTarget = {
  readonly port: number
  /** PEM of the authority to trust; in the clear when left out. */
  readonly ca?: string
  readonly username?: string
  readonly password?: string
}

/**
 * Sends commands to one Redis over a connection of their own, all at once, and reads their replies: what a test wants
 * to know or to do behind the back of the library under test.
 *
 * @throws Error with the words of Redis, for the first command that it refuses
 */
export async function askRedis(
  { port, ca, username = 'default', password }: RedisTarget,
  commands: readonly (readonly (string | number)[])[],
): Promise<readonly RedisReply[]> {
  const socket =
    ca === undefined ? connectTcp({ port, host: '127.0.0.1' }) : connectTls({ port, host: 'localhost', ca: [ca] })
  const login = password === undefined ? [] : [['AUTH', username, password]]
  try {
    socket.setTimeout(soonMs, () => socket.destroy(new Error(`Redis on port ${port} does not answer`)))
    await once(socket, ca === undefined ? 'connect' : 'secureConnect')
    socket.write([...login, ...commands].map(encoded).join(''))
    const replies = await repliesOf(socket, login.length + commands.length)
    const refusal = replies.find((reply) => reply instanceof Error)
    if (refusal !== undefined) throw refusal
    return replies.slice(login.length)
  } finally {
    socket.destroy()
  }
}

function encoded(words: readonly (string | number)[]): string {
  return [`*${words.length}`, ...words.flatMap((word) => [`$${Buffer.byteLength(String(word))}`, word]), ''].join(
    '\r\n',
  )
}

async function repliesOf(socket: Socket, count: number): Promise<readonly RedisReply[]> {
  const replies: RedisReply[] = []
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    rest = Buffer.concat([rest, chunk])
    for (let read = readReply(rest, 0); read !== undefined; read = readReply(rest, 0)) {
      replies.push(read.reply)
      rest = rest.subarray(read.end)
    }
    if (replies.length >= count) return replies
  }
  throw new Error(`Redis closed the connection after ${replies.length} of ${count} replies`)
}

type Read = { readonly reply: RedisReply; readonly end: number }

/** One reply of RESP2 from `start` on; nothing while it is not whole. */
function readReply(bytes: Buffer, start: number): Read | undefined {
  const lineEnd = bytes.indexOf('\r\n', start)
  if (lineEnd < 0) return undefined
  const text = bytes.toString('utf8', start + 1, lineEnd)
  const end = lineEnd + 2
  switch (bytes.toString('latin1', start, start + 1)) {
    case '+':
      return { reply: text, end }
    case '-':
      return { reply: new Error(text), end }
    case ':':
      return { reply: Number(text), end }
    case '$':
      return readText(bytes, end, Number(text))
    case '*':
      return readList(bytes, end, Number(text))
    default:
      throw new Error(`not a reply of Redis: ${bytes.toString('utf8', start, lineEnd)}`)
  }
}

function readText(bytes: Buffer, start: number, length: number): Read | undefined {
  if (length < 0) return { reply: null, end: start }
  const end = start + length + 2
  return end > bytes.length ? undefined : { reply: bytes.toString('utf8', start, start + length), end }
}

function readList(bytes: Buffer, start: number, length: number): Read | undefined {
  if (length < 0) return { reply: null, end: start }
  const list: RedisReply[] = []
  let end = start
  while (list.length < length) {
    const read = readReply(bytes, end)
    if (read === undefined) return undefined
    list.push(read.reply)
    end = read.end
  }
  return { reply: list, end }
}
