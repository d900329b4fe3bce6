import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { basic, basicOf, passwords } from '../support/personas.ts'
import { headerOf, sendRaw } from '../support/raw-http-client.ts'
import type { RawAnswer } from '../support/raw-http-client.ts'
import { writeUsers } from './credential-users.ts'
import { startGateway } from '../support/start-gateway.ts'
import { closing, host, startFront } from './attack.ts'
import type { Front } from './attack.ts'

let front: Front

beforeAll(async () => {
  front = await startFront({ authentication: { htpasswd: { file: writeUsers() } } })
})
afterAll(() => front.stop())

/** Asks with header lines as they stand; the answer, and whether the upstream heard anything. */
async function asked(lines: readonly string[], method = 'GET', target = '/v2/team/app/tags/list') {
  const before = front.upstream.received().length
  const { answers, closed } = await sendRaw(
    front.gateway.target,
    closing({ method, target, first: [`Host: ${host}`, ...lines] }),
  )
  expect(closed).toBe(true)
  return { answer: answers[0], count: answers.length, heard: front.upstream.received().length > before }
}

const authorization = (value: string): string => `Authorization: ${value}`
const encoded = (text: string | Buffer): string => Buffer.from(text).toString('base64')

describe('A-87 Basic is parsed strictly', () => {
  test.each([
    ['a password with colons', basicOf('alice')],
    ['another spelling of the scheme', basicOf('alice').replace('Basic', 'bAsIc')],
  ])('%s is accepted', async (_name, value) => {
    const { answer, heard } = await asked([authorization(value)])
    expect(answer?.status).toBe(200)
    expect(heard).toBe(true)
  })

  test.each([
    ['no colon', `Basic ${encoded('alice')}`],
    ['empty user name', basic('', 'secret')],
    ['base64url', `Basic ${encoded('alice:~~~???').replace('+', '-').replace('/', '_')}`],
    ['white space in the middle', `Basic ${encoded('alice:x').slice(0, 4)} ${encoded('alice:x').slice(4)}`],
    ['two schemes', `Basic ${encoded('alice:x')}, Bearer y`],
    ['a scheme that only contains Basic', `XBasicY ${encoded('alice:x')}`],
    ['invalid UTF-8', `Basic ${encoded(Buffer.from([0x61, 0x3a, 0xc3, 0x28]))}`],
    ['a NUL in the name', basic('alice\0', passwords.alice)],
    ['a bearer token', 'Bearer eyJhbGciOiJub25lIn0.e30.'],
    ['digest', 'Digest username="alice"'],
    ['the scheme alone', 'Basic'],
  ])('%s is 401 and the upstream hears nothing', async (_name, value) => {
    const { answer, heard } = await asked([authorization(value)])
    expect(answer?.status).toBe(401)
    expect(heard).toBe(false)
  })

  test('a header of 9 KiB is 431', async () => {
    const { answer, heard } = await asked([authorization(basic('alice', 'x'.repeat(7_000)))])
    expect(answer?.status).toBe(431)
    expect(heard).toBe(false)
  })
})

describe('A-75 an empty password is refused', () => {
  test.each([
    ['alice and nothing', basic('alice', '')],
    ['alice without a colon', `Basic ${encoded('alice')}`],
    ['NUL', basic('alice', '\0')],
    ['spaces', basic('alice', '   ')],
  ])('%s', async (_name, value) => {
    const { answer, heard } = await asked([authorization(value)])
    expect(answer?.status).toBe(401)
    expect(heard).toBe(false)
  })
})

describe('A-88 bcrypt sees the whole password', () => {
  test('72 bytes are accepted', async () => {
    const { answer } = await asked([authorization(basic('long', 'p'.repeat(72)))])
    expect(answer?.status).toBe(200)
  })
  test.each([
    ['72 bytes and one more', 'p'.repeat(73)],
    ['72 bytes and any suffix', `${'p'.repeat(72)}anything`],
    ['73 bytes of several-byte characters', `${'p'.repeat(71)}é`],
    ['the password, NUL, and more', `${'p'.repeat(71)}\0`],
  ])('%s is refused', async (_name, password) => {
    const { answer, heard } = await asked([authorization(basic('long', password))])
    expect(answer?.status).toBe(401)
    expect(heard).toBe(false)
  })
})

describe('A-84 one credential is never taken for another', () => {
  test.each([
    ['a + bc for ab + c', 'ab', 'c', 'a', 'bc'],
    ['ab + c for a + bc', 'a', 'bc', 'ab', 'c'],
  ])('%s', async (_name, user, password, otherUser, otherPassword) => {
    expect((await asked([authorization(basic(user, password))])).answer?.status).toBe(200)
    expect((await asked([authorization(basic(otherUser, otherPassword))])).answer?.status).toBe(200)
    expect((await asked([authorization(basic(user, otherPassword))])).answer?.status).toBe(401)
    expect((await asked([authorization(basic(otherUser, password))])).answer?.status).toBe(401)
  })
  test('a wrong password of a very long name is refused', async () => {
    const name = 'n'.repeat(60)
    expect((await asked([authorization(basic(name, 'right'))])).answer?.status).toBe(200)
    expect((await asked([authorization(basic(name, 'wrong'))])).answer?.status).toBe(401)
  })
  test('two users with one password stay two users', async () => {
    await asked([authorization(basic('twin1', 'same'))])
    const { answer } = await asked([authorization(basic('twin2', 'same'))])
    const line = await front.gateway.auditLineOf(headerOf(answer, 'x-request-id') ?? '')
    expect(line['user']).toBe('twin2')
  })
})

test('A-85 concurrent logins of all kinds are each answered for themselves', async () => {
  const kinds = [
    [basicOf('bob'), 200],
    [basic('bob', 'wrong'), 401],
    [basic('nobody', 'x'), 401],
    [basicOf('ci'), 200],
  ] as const
  const all = Array.from({ length: 200 }, (_, index) => kinds[index % kinds.length] ?? kinds[0])
  const statuses = await Promise.all(
    all.map(([value]) => front.gateway.ask({ path: '/v2/team/app/tags/list', headers: { authorization: value } })),
  )
  expect(statuses.map(({ status }) => status)).toEqual(all.map(([, status]) => status))
})

describe('A-86 an unknown user and a wrong password look alike', () => {
  const withoutId = (answer: RawAnswer | undefined): string =>
    JSON.stringify(answer)
      .replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'ID')
      .replace(/"date","[^"]*"/, '"date"')

  test('in every byte but the request id and the date', async () => {
    const answers = await Promise.all(
      [basic('nobody', 'x'), basic('alice', 'x'), basic('alice', 'p'.repeat(80)), basic('weak', 'x')].map((value) =>
        asked([authorization(value)]),
      ),
    )
    const texts = new Set(answers.map(({ answer }) => withoutId(answer)))
    expect([...texts]).toHaveLength(1)
  })
})

describe('A-89 lines of the htpasswd file that cannot be used', () => {
  test.each([
    ['SHA-1', 'sha'],
    ['MD5', 'apr'],
    ['plain text', 'plain'],
    ['a faulty bcrypt', 'x'],
    ['a cost of 31', 'costly'],
  ])('%s disables its user', async (_name, user) => {
    expect((await asked([authorization(basic(user, 'secret'))])).answer?.status).toBe(401)
  })
  test('a name given twice is disabled', async () => {
    expect((await asked([authorization(basic('double', 'one'))])).answer?.status).toBe(401)
    expect((await asked([authorization(basic('double', 'two'))])).answer?.status).toBe(401)
  })
  test('the others go on, and the log names the lines without a hash', () => {
    expect(front.gateway.log()).toContain('line 12')
    expect(front.gateway.log()).not.toMatch(/\$2[abxy]\$\d\d\$|\{SHA\}W6ph|\$apr1\$r31/)
  })
  test('a file without one usable line is refused at the start', async () => {
    const settings = { authentication: { htpasswd: { file: join(import.meta.dirname, 'attack.ts') } } }
    await expect(startGateway({ upstreamUrl: front.upstream.url, settings })).rejects.toThrow(
      /no line of the file can be used/,
    )
  })
})

describe('A-90 the challenge', () => {
  test.each([
    ['no credentials', [], 'GET', '/v2/'],
    ['a path below', [], 'GET', '/v2/a/manifests/v1'],
    ['empty Basic, as podman sends', ['Authorization: Basic Og=='], 'GET', '/v2/'],
    ['a wrong password', [authorization(basic('alice', 'wrong'))], 'GET', '/v2/'],
    ['an upload', [], 'POST', '/v2/a/blobs/uploads/'],
  ])('for %s is exactly one, with the version and the envelope', async (_name, lines, method, target) => {
    const { answer, heard } = await asked(lines, method, target)
    expect(answer?.status).toBe(401)
    expect(heard).toBe(false)
    const challenges = answer?.headers.filter(([name]) => name === 'www-authenticate') ?? []
    expect(challenges).toHaveLength(1)
    expect(challenges[0]?.[1]).toMatch(/^Basic realm="Wharfgate", charset="UTF-8"(?:, error_description="[^"\\,]+")?$/)
    expect(headerOf(answer, 'docker-distribution-api-version')).toBe('registry/2.0')
    expect(headerOf(answer, 'content-type')).toBe('application/json')
  })
  test('is the same on HEAD, without a body', async () => {
    const { text } = await sendRaw(front.gateway.target, closing({ method: 'HEAD', first: [`Host: ${host}`] }))
    expect(text).toMatch(/^HTTP\/1\.1 401 [^\r]*\r\n(?:[^\r]+\r\n)+\r\n$/)
    expect(text.match(/^www-authenticate: /gim)).toHaveLength(1)
  })
  test('of empty Basic asks for a login instead of calling it wrong', async () => {
    const { answer } = await asked(['Authorization: Basic Og=='])
    expect(answer?.body).toContain('a login is required')
  })
})

describe('A-91, A-92 credentials elsewhere are no credentials', () => {
  test.each([
    ['a session cookie', ['Cookie: connect.sid=s%3Aabc'], '/v2/team/app/tags/list'],
    ['the query', [], `/v2/team/app/tags/list?username=alice&password=${encodeURIComponent(passwords.alice)}`],
    ['Proxy-Authorization', [`Proxy-Authorization: ${basicOf('alice')}`], '/v2/team/app/tags/list'],
    ['X-headers', ['X-Remote-User: alice', 'X-Forwarded-User: alice'], '/v2/team/app/tags/list'],
  ])('%s', async (_name, lines, target) => {
    const { answer, heard } = await asked(lines, 'GET', target)
    expect(answer?.status).toBe(401)
    expect(headerOf(answer, 'set-cookie')).toBeUndefined()
    expect(heard).toBe(false)
  })
  test('user information in the target is refused', async () => {
    const { answer, heard } = await asked([], 'GET', `https://alice:x@${host}/v2/`)
    expect(answer?.status).toBe(400)
    expect(heard).toBe(false)
  })
  test('no password is written anywhere', async () => {
    await asked([authorization(basic('alice', 'canary-of-a-wrong-password'))])
    await asked([], 'GET', '/v2/team/app/tags/list?password=canary-of-a-query')
    const metrics = await (await fetch(`${front.gateway.adminUrl}/metrics`)).text()
    const written = front.gateway.log() + JSON.stringify(front.gateway.auditLines()) + metrics
    for (const canary of ['canary', passwords.alice, encoded(`alice:${passwords.alice}`)]) {
      expect(written).not.toContain(canary)
    }
  })
})

test('A-54 a connection that is used again keeps nobody logged in', async () => {
  const get = (lines: readonly string[]): string =>
    `GET /v2/team/app/tags/list HTTP/1.1\r\n${[`Host: ${host}`, ...lines].join('\r\n')}\r\n\r\n`
  const { answers } = await sendRaw(
    front.gateway.target,
    get([authorization(basicOf('alice'))]) + get([]) + get([authorization(basicOf('bob'))]),
    { until: 3 },
  )
  expect(answers.map(({ status }) => status)).toEqual([200, 401, 200])
  const lines = await Promise.all(
    answers.map((answer) => front.gateway.auditLineOf(headerOf(answer, 'x-request-id') ?? '')),
  )
  expect(lines.map((line) => line['user'])).toEqual(['alice', null, 'bob'])
})
