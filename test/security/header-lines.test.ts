import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { basic, basicOf } from '../support/personas.ts'
import { alice, attack, bytesOf, closing, expectAlive, expectRefused, host, startFront } from './attack.ts'
import type { Front } from './attack.ts'

let front: Front

beforeAll(async () => {
  front = await startFront()
})
afterAll(() => front.stop())
afterEach(() => expectAlive(front))

const smuggled = bytesOf({ target: '/v2/smuggled/tags/list' })
const uploads = '/v2/a/blobs/uploads/'
const many = (count: number): readonly string[] =>
  Array.from({ length: count }, (_, index) => `a${index.toString(36)}:`)

describe('A-49 header lines beyond what is looked at', () => {
  test('a length behind 2,100 lines is not overlooked', async () => {
    const lines = [...many(2_100), `Content-Length: ${smuggled.length}`]
    await expectRefused(front, bytesOf({ method: 'POST', target: uploads, lines, body: smuggled }), [431])
  })

  test('chunked behind 1,000 lines is not overlooked', async () => {
    const lines = [...many(1_000), 'Transfer-Encoding: chunked']
    await expectRefused(front, bytesOf({ method: 'DELETE', target: '/v2/a/manifests/v', lines, body: smuggled }), [431])
  })

  test('100 lines are taken, 101 are not', async () => {
    const hundred = closing({ lines: many(97) })
    const { answers } = await attack(front, hundred)
    expect(answers.map(({ status }) => status)).toEqual([200])
    await expectRefused(front, closing({ lines: many(98) }), [431])
  })

  test.each([
    ['one value of 64 KiB', [`X: ${'a'.repeat(65_536)}`]],
    ['one name of 64 KiB', [`${'a'.repeat(65_536)}: x`]],
    ['an Authorization of 64 KiB', [`Authorization: ${basic('alice', 'a'.repeat(49_152))}`]],
    ['90 values of 1 KiB', Array.from({ length: 90 }, (_, index) => `X-${index}: ${'a'.repeat(1_024)}`)],
  ])('%s is refused', async (_what, lines) => {
    await expectRefused(front, closing({ lines, first: [`Host: ${host}`] }), [431])
  })

  test.each([9_000, 100_000])('a target of %i bytes is refused', async (length) => {
    await expectRefused(front, closing({ target: `/v2/${'a'.repeat(length)}/tags/list` }), [414, 431])
  })
})

describe('A-50 a header that means one thing, given twice', () => {
  const twice = [
    ['Host', `Host: ${host}`, `Host: ${host}`],
    ['another Host', `Host: ${host}`, 'Host: evil.example'],
    ['Host in other letters', `Host: ${host}`, 'hOST: evil.example'],
    ['Authorization', alice, alice],
    ['another Authorization', alice, `Authorization: ${basicOf('bob')}`],
    ['Authorization, one empty', alice, 'Authorization:'],
    ['Content-Type', 'Content-Type: application/json', 'Content-Type: application/x-www-form-urlencoded'],
    ['Content-Range', 'Content-Range: 0-4', 'Content-Range: 5-9'],
    ['Range', 'Range: bytes=0-1', 'Range: bytes=5-9'],
    ['Expect', 'Expect: 100-continue', 'Expect: 100-continue'],
    ['If-Range', 'If-Range: "a"', 'If-Range: "b"'],
  ] as const
  test.each(twice)('%s', async (_what, first, second) => {
    const others = [`Host: ${host}`, alice].filter((line) => line.split(':', 1)[0] !== first.split(':', 1)[0])
    for (const [one, two] of [
      [first, second],
      [second, first],
    ]) {
      const lines = [...others, one, 'X-Between: 1', two, 'Content-Length: 0'].filter((line) => line !== undefined)
      await expectRefused(front, bytesOf({ method: 'PATCH', target: `${uploads}s`, first: lines }) + smuggled, [400])
    }
  })
})

describe('a Host that is no host', () => {
  test.each([
    ['with a path', `${host}/x`],
    ['with a user', `alice@${host}`],
    ['with a space', 'local host'],
    ['a list', `${host}, evil`],
    ['with a quote', '"x"'],
    ['with a scheme', `https://${host}`],
    ['with markup', '<script>'],
    ['with a letter over 127', 'l\xf6calhost'],
    ['with a bad port', 'localhost:80a'],
  ])('A-50 %s is refused', async (_what, value) => {
    await expectRefused(front, closing({ first: [`Host: ${value}`, alice] }), [400])
  })

  test('A-50 HTTP/1.1 without Host is refused, HTTP/1.0 is answered', async () => {
    await expectRefused(front, closing({ first: [alice] }), [400])
    const { answers, closed } = await attack(front, bytesOf({ version: 'HTTP/1.0', first: [alice] }))
    expect({ statuses: answers.map(({ status }) => status), closed }).toEqual({ statuses: [200], closed: true })
  })
})

describe('A-73 names that a program might stumble over', () => {
  test.each(['__proto__', '__PROTO__', 'constructor', 'prototype', 'hasOwnProperty', 'toString', 'valueOf', 'then'])(
    'the header %s changes nothing',
    async (name) => {
      const { answers, upstreamGot } = await attack(front, closing({ lines: [`${name}: x`, `${name}: y`] }))
      expect([200, 400]).toContain(answers[0]?.status)
      expect(answers).toHaveLength(1)
      expect(upstreamGot.toLowerCase()).not.toContain(name.toLowerCase())
      expect(Object.hasOwn(Object.prototype, 'x')).toBe(false)
    },
  )

  test.each(['__proto__', 'constructor', 'hasownproperty'])('the repository %s is a name or none', async (name) => {
    const { answers } = await attack(front, closing({ target: `/v2/${name}/tags/list` }))
    expect([200, 400]).toContain(answers[0]?.status)
  })

  test.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty'])('the user %s is nobody', async (name) => {
    for (const password of ['', 'x', 'function Object() { [native code] }']) {
      const first = [`Host: ${host}`, `Authorization: ${basic(name, password)}`]
      await expectRefused(front, closing({ first }), [401])
    }
  })

  test.each(['__proto__', 'constructor', 'toString'])('the digest algorithm %s is none that is known', async (name) => {
    const { answers } = await attack(front, closing({ target: `/v2/a/blobs/${name}:${'a'.repeat(64)}` }))
    expect([200, 400]).toContain(answers[0]?.status)
  })
})
