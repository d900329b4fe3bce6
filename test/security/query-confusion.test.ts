import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { attack, closing, digest, expectAlive, expectRefused, startFront } from './attack.ts'
import type { Front } from './attack.ts'

let front: Front

beforeAll(async () => {
  front = await startFront()
})
afterAll(() => front.stop())

const uploads = '/v2/mine/a/blobs/uploads/'
const post = (query: string) => closing({ method: 'POST', target: `${uploads}?${query}`, lines: ['Content-Length: 0'] })
const printedTarget = (upstreamGot: string) => upstreamGot.split(' ', 2)[1]

describe('A-02 a query that two servers could read differently is refused', () => {
  test.each([
    `from=pub/x;z=1&mount=${digest}&from=secret/app`,
    `mount=${digest}&from=secret/app;`,
    `from=%zz&mount=${digest}&from=secret/app`,
    `from=%&mount=${digest}`,
    `from=%c0%ae&mount=${digest}`,
    `%zz=1&mount=${digest}&from=secret/app`,
    `mount=${digest}&from=a&from=b`,
    `mount=${digest}&from=a&%66rom=b`,
    `mount=${digest}&mount=${digest}&from=a`,
    `mount=${digest}&mo%75nt=${digest}&from=a`,
    `digest=${digest}&digest=${digest}`,
    `digest=${digest}&d%69gest=sha256:${'0'.repeat(64)}`,
    `mount=${digest}&from=secret%2Fapp%2F..%2Fx`,
    `mount=${digest}&from=secret//app`,
    `mount=${digest}&from=Secret/app`,
    `mount=${digest}&from=`,
    `mount=&from=secret/app`,
    `mount=sha256:abc&from=secret/app`,
    `mount=${digest}&from=secret%00/app`,
    `mount=${digest}&from=secret+app`,
    `mount=${digest}&from=/secret/app`,
    `mount=${digest}&from=secret/app%26digest=x`,
    'digest-algorithm=sha256%26mount=x',
    `mount=${digest}&from=a&origin=%0d%0aX:y`,
    'a=1#&mount=x',
    'a=\xe9',
    'a=b\\c\x7f',
  ])('%s', async (query) => {
    await expectRefused(front, post(query), [400])
  })

  test.each([
    [`/v2/a/tags/list?n=1&n=2`],
    [`/v2/a/tags/list?n=1&%6e=2`],
    [`/v2/a/tags/list?last=a&last=b`],
    ['/v2/a/tags/list?n=1;last=b'],
    ['/v2/a/tags/list?last=%zz'],
    ['/v2/a/tags/list?last=%00'],
    ['/v2/_catalog?n=1e3'],
    ['/v2/_catalog?n=-1'],
    ['/v2/_catalog?n=0x10'],
    ['/v2/_catalog?n='],
    ['/v2/_catalog?n=%201'],
    ['/v2/_catalog?n=1&n=1'],
    [`/v2/a/referrers/${digest}?artifactType=a&artifactType=b`],
    [`/v2/a/referrers/${digest}?artifactType=%0a`],
  ])('%s', async (target) => {
    await expectRefused(front, closing({ target }), [400])
  })

  test.each(['digest=a&digest=b', 'digest=a&d%69gest=b', 'digest=a;digest=b', '%64igest=a&x=1&digest=b'])(
    'two digests on an upload session: %s',
    async (query) => {
      const target = `${uploads}session?_state=x&${query}`
      await expectRefused(front, closing({ method: 'PUT', target, lines: ['Content-Length: 0'] }), [400])
    },
  )
})

describe('A-02 the query that goes upstream is printed from what was read', () => {
  test.each([
    ['unknown keys are dropped', `ns=docker.io&a=b&_state=x`, uploads],
    ['brackets make another key', `mount=${digest}&from[]=secret/app`, uploads],
    ['capitals make another key', `mount=${digest}&FROM=secret/app`, uploads],
    ['unknown keys twice are dropped', `z=1&z=2`, uploads],
    [
      'an encoded key is the key',
      `mount=${digest}&%66rom=pub/x`,
      `${uploads}?mount=${encodeURIComponent(digest)}&from=pub%2Fx`,
    ],
    ['a source alone is nothing', 'from=secret/app', uploads],
    ['a mount without a source is removed', `mount=${digest}`, uploads],
    ['a mount from another host is removed', `mount=${digest}&from=a&origin=docker.io`, uploads],
    [
      'a query within the query is a value',
      `digest=${digest}&x=?mount=${digest}`,
      `${uploads}?digest=${encodeURIComponent(digest)}`,
    ],
    ['empty pairs are nothing', '&&&', uploads],
    ['a prototype is a name like others', '__proto__[a]=1&constructor=x&__proto__=y&toString=z', uploads],
  ])('%s: %s', async (_why, query, printed) => {
    const { answers, upstreamGot } = await attack(front, post(query))
    expect(answers).toHaveLength(1)
    expect(printedTarget(upstreamGot)).toBe(printed)
  })

  test.each([
    ['/v2/?n=1&last=x', '/v2/'],
    ['/v2/a/manifests/v1?ns=docker.io', '/v2/a/manifests/v1'],
    ['/v2/a/manifests/v1?tag=x', '/v2/a/manifests/v1'],
    [`/v2/a/blobs/${digest}?ns=docker.io&digest=x`, `/v2/a/blobs/${digest}`],
    ['/v2/a/tags/list?n=9999999999999999999&last=a%26n=5', '/v2/a/tags/list?n=1000&last=a%26n%3D5'],
    ['/v2/a/tags/list?n=5?last=x', ''],
    ['/v2/a/tags/list?N=5', '/v2/a/tags/list'],
    [`/v2/a/referrers/${digest}?artifactType=a/b%26x=y`, `/v2/a/referrers/${digest}?artifactType=a%2Fb%26x%3Dy`],
  ])('%s becomes %s', async (target, printed) => {
    const { upstreamGot } = await attack(front, closing({ target }))
    expect(printedTarget(upstreamGot) ?? '').toBe(printed)
  })

  test.each([
    '_state=AbC%2Fd-_.~%3D&digest=x',
    'a=1;b=2',
    'x=%zz',
    'b=2&a=1&a=1',
    'X-Amz-Signature=a+b%20c',
    '?',
    '',
    '=',
  ])('on an upload session the query is the upstream’s own: %j', async (query) => {
    const target = `${uploads}session-1?${query}`
    const { upstreamGot } = await attack(front, closing({ method: 'PATCH', target, lines: ['Content-Length: 0'] }))
    expect(printedTarget(upstreamGot)).toBe(query === '' ? `${uploads}session-1` : target)
  })

  test.each([
    ['an escape', '/v2/mine/a/blobs/uploads/sess%2e%2e'],
    ['a slash', '/v2/mine/a/blobs/uploads/..%2f..%2fsecret'],
    ['a question mark', '/v2/mine/a/blobs/uploads/x%3Fdigest=y'],
    ['two dots', '/v2/mine/a/blobs/uploads/..?x'],
  ])('a session name holds no %s', async (_what, target) => {
    const { upstreamGot } = await attack(front, closing({ method: 'PATCH', target, lines: ['Content-Length: 0'] }))
    expect(upstreamGot).not.toMatch(/\.\.[/?]|%3F/)
    if (upstreamGot !== '') expect(printedTarget(upstreamGot)).toBe('/v2/mine/a/blobs/uploads/sess..')
  })

  test('afterwards an honest request is answered', () => expectAlive(front))
})
