import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { answerEach } from '../support/recording-upstream.ts'
import { alice, attack, closing, digest, expectAlive, expectRefused, host, startFront } from './attack.ts'
import type { Front } from './attack.ts'

let front: Front

beforeAll(async () => {
  front = await startFront()
})
afterAll(() => front.stop())

const hex = digest.slice('sha256:'.length)

test.each([
  '/v2/secret%2Fapp/manifests/v1',
  '/v2/secret%2fapp/manifests/v1',
  '/v2/secret/app/manifests%2Fv1',
  '/v2/secret/app%2Fmanifests/v1',
  '/v2%2Fsecret/app/manifests/v1',
  '/v2/pub%2F..%2Fsecret/tags/list',
  '/v2/secret%252Fapp/manifests/v1',
  '/v2/pub/%2Fsecret/tags/list',
])('A-05 an encoded slash never divides a path: %s', async (target) => {
  await expectRefused(front, closing({ target }), [400, 404])
})

test.each([
  '/v2/pub/../secret/app/tags/list',
  '/v2/pub/%2e%2e/secret/app/tags/list',
  '/v2/pub/%2E./secret/app/tags/list',
  '/v2/pub/.%2e/secret/app/tags/list',
  '/v2/pub/..%2fsecret/tags/list',
  '/v2/./_catalog',
  '/v2/%2e/_catalog',
  '/v2/secret/app/manifests/..',
  '/v2/pub/%252e%252e/secret/tags/list',
  '/v2/pub/blobs/uploads/..',
  '/v2/pub/blobs/uploads/.',
  '/v2/pub/blobs/uploads/%2e%2e',
  '/v2/pub/.../secret/tags/list',
  '/v2/pub/tags/list/../../../secret/manifests/x',
])('A-06 a dot segment is refused, not resolved: %s', async (target) => {
  await expectRefused(front, closing({ target }), [400, 404])
})

test.each(['/../v2/_catalog', '/./v2/_catalog', '/%2e%2e/v2/_catalog', '/a/../v2/_catalog'])(
  'A-06 a dot segment before /v2 leads nowhere: %s',
  async (target) => {
    await expectRefused(front, closing({ target }), [400, 404])
  },
)

test.each([
  '/v2//secret/app/tags/list',
  '/v2/secret//app/tags/list',
  '/v2/secret/app//tags/list',
  '/v2/secret/app/blobs//uploads/',
  '/v2/secret/app/blobs/uploads//',
  '/v2//',
  '/v2//_catalog',
  '//v2/_catalog',
  '///v2/_catalog',
  '//evil.example/v2/',
  '//evil.example/v2/_catalog',
  '/\\evil.example/v2/',
  '\\\\evil.example/v2/',
])('A-07 a doubled slash is refused and never redirects: %s', async (target) => {
  await expectRefused(front, closing({ target }), [400, 404])
})

test.each([
  '/v2/_catalog/',
  '/v2/_CATALOG',
  '/v2/_catalog%3Fn=1',
  '/v2/_catalog%23',
  '/v2/%5f%63atalog/',
  '/v2/_catalog/x',
])('A-08 what is not the catalogue by its letters is not the catalogue: %s', async (target) => {
  await expectRefused(front, closing({ target }), [400, 404])
})

test.each(['/v2/%5fcatalog', '/v2/%5Fcatalog', '/v2/_%63atalog', '/v2/%5f%63%61%74%61%6c%6f%67'])(
  'A-08 an encoded catalogue is the catalogue, for policy and upstream alike: %s',
  async (target) => {
    const body = '{"repositories":["team/app"]}\n'
    front.upstream.respondWith((connection, heads) => {
      answerEach(connection, heads, `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
    })
    const { answers } = await attack(front, closing({ target }))
    expect(answers).toMatchObject([{ status: 200, body }])
    front.upstream.reset()
    await expectRefused(front, closing({ target, first: [`Host: ${host}`] }), [401])
  },
)

test.each([
  [`/v2/team/app/blobs/sha256%3A${hex}`, `/v2/team/app/blobs/sha256:${hex}`],
  [`/v2/team/app/blobs/sha256%3a${hex}`, `/v2/team/app/blobs/sha256:${hex}`],
  [`/v2/t%65am/app/manifests/v1%2E0`, '/v2/team/app/manifests/v1.0'],
  [`/v2/team/app/%62lobs/${digest}`, `/v2/team/app/blobs/${digest}`],
])('A-10 a harmless encoding keeps working and is printed plainly: %s', async (target, printed) => {
  const { answers, upstreamGot } = await attack(front, closing({ target }))
  expect(answers[0]?.status).toBe(200)
  expect(upstreamGot.split(' ', 2)).toEqual(['GET', printed])
})

const oddities = [
  ['a path parameter', '/v2/secret;x/app/tags/list'],
  ['a path parameter at the end', '/v2/secret/app/tags/list;x=1'],
  ['an encoded semicolon', '/v2/secret%3Bx/app/tags/list'],
  ['a backslash', '/v2/secret\\app/tags/list'],
  ['an encoded backslash', '/v2/secret%5capp/tags/list'],
  ['an encoded NUL', '/v2/secret%00/app/tags/list'],
  ['a tab', '/v2/sec\tret/app/tags/list'],
  ['an encoded tab', '/v2/sec%09ret/app/tags/list'],
  ['an encoded space', '/v2/secret%20/app/tags/list'],
  ['a raw space', '/v2/secret /app/tags/list'],
  ['an encoded CR LF', '/v2/secret/app/manifests/v1%0d%0aX:%20y'],
  ['an overlong slash', '/v2/secret%c0%afapp/tags/list'],
  ['an overlong dot', '/v2/pub/%c0%ae%c0%ae/secret/tags/list'],
  ['a zero-width space', '/v2/secret%e2%80%8b/app/tags/list'],
  ['raw bytes over 127', '/v2/secr\xe9t/app/tags/list'],
  ['a raw NUL', '/v2/sec\0ret/app/tags/list'],
  ['a full-width slash', '/v2/secret%EF%BC%8Fapp/tags/list'],
  ['a bad escape', '/v2/secret%zz/app/tags/list'],
  ['a cut escape', '/v2/secret/app/manifests/v1%2'],
  ['an encoded percent', '/v2/secret%25/app/tags/list'],
  ['a fragment', '/v2/secret/app/tags/list#/../x'],
  ['an encoded question mark', '/v2/secret/app/tags/list%3Fn=1'],
  ['an encoded number sign', '/v2/secret%23/app/tags/list'],
  ['IIS unicode', '/v2/%u002e%u002e/secret/tags/list'],
] as const

test.each(oddities)('A-13 %s in a path is refused', async (_what, target) => {
  await expectRefused(front, closing({ target }), [400, 404])
})

test.each([
  '/v2',
  '/v2/a/manifests/v1/',
  '/v2/a/tags/list/',
  `/v2/a/blobs/${digest}/`,
  '/v2/a/blobs/uploads',
  '/v2/a/tags/',
])('A-14 a slash too many or too few is no route, and no redirect: %s', async (target) => {
  await expectRefused(front, closing({ target }), [400, 404])
})

test.each([
  ['/V2/', 404],
  ['/V2/secret/app/tags/list', 404],
  ['/v2/Secret/app/tags/list', 400],
  ['/v2/%53ecret/app/tags/list', 400],
  ['/v2/secret/app/TAGS/list', 404],
  ['/v2/secret/app/tags/LIST', 404],
  ['/v2/secret/app/Manifests/v1', 404],
  [`/v2/secret/app/blobs/SHA256:${hex}`, 400],
  [`/v2/secret/app/blobs/sha256:${hex.toUpperCase()}`, 400],
])('A-15 letters count in their case: %s is %i', async (target, status) => {
  await expectRefused(front, closing({ target }), [status])
})

test.each([
  '/v2/a/tags/listXYZ',
  '/v2/a/tags/list/../../b/manifests/x',
  '/v2/a/tags/listing',
  '/v2/a/xtags/list',
  '/v2a/tags/list',
  '/xv2/a/tags/list',
  '/v2/a/manifests',
  '/v2/tags/list',
  '/v2/manifests/v1',
  '/x?/v2/a/tags/list',
])('A-17 a route is matched from its first to its last letter: %s', async (target) => {
  await expectRefused(front, closing({ target }), [400, 404])
})

test('A-17 an unknown Host is served on its own merits and goes nowhere', async () => {
  front.upstream.respondWith((connection, heads) => {
    if (heads.length > 0)
      connection.socket.end('HTTP/1.1 202 Accepted\r\nLocation: /v2/a/blobs/uploads/s1\r\nContent-Length: 0\r\n\r\n')
  })
  const evil = 'reg.example.evil'
  const asked = { method: 'POST', target: '/v2/a/blobs/uploads/', lines: ['Content-Length: 0'] }
  const { answers, text, upstreamGot } = await attack(front, closing({ ...asked, first: [`Host: ${evil}`, alice] }))
  expect(answers[0]?.status).toBe(202)
  expect(text).not.toContain(evil)
  expect(upstreamGot).not.toContain(evil)
  const refused = await attack(front, closing({ ...asked, first: [`Host: ${evil}`] }))
  expect(refused.answers[0]?.status).toBe(401)
  expect(refused.text).not.toContain(evil)
  front.upstream.reset()
  await expectAlive(front)
})
