import { createHash } from 'node:crypto'
import http from 'node:http'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { PassThrough } from 'node:stream'
import { describe, expect, test } from '@jest/globals'
import { createTagGuard } from '../../../src/proxy/tag-guard.ts'
import type { GuardedPush, TagGuard } from '../../../src/proxy/tag-guard.ts'
import { createTagLock } from '../../../src/proxy/tag-lock.ts'
import type { OpenCall, OpenUpstream, UpstreamCall } from '../../../src/proxy/upstream-client.ts'
import { RegistryError } from '../../../src/registry/error.ts'
import { parseRepositoryName, parseTag } from '../../../src/registry/name.ts'
import type { RepositoryName, Tag } from '../../../src/registry/name.ts'

const body = Buffer.from('{"schemaVersion":2}')
const other = Buffer.from('{"schemaVersion":2,"layers":[]}')

function digestOf(content: Buffer, algorithm = 'sha256'): string {
  return `${algorithm}:${createHash(algorithm).update(content).digest('hex')}`
}

function repository(text: string): RepositoryName {
  const name = parseRepositoryName(text)
  if (name === undefined) throw new Error(`${text} is no repository`)
  return name
}

function tag(text: string): Tag {
  const parsed = parseTag(text)
  if (parsed === undefined) throw new Error(`${text} is no tag`)
  return parsed
}

function pushOf(tags: readonly string[], more: Partial<GuardedPush> = {}): GuardedPush {
  return {
    repository: repository('prod/api'),
    protectedTags: tags.map(tag),
    lockedTags: [],
    refusal: (name) => `alice may not move or delete the protected tag ${name} of prod/api`,
    body,
    about: { requestId: 'x', clientAddress: '192.0.2.1', publicHost: 'localhost', publicProtocol: 'https' },
    ...more,
  }
}

type Answer = { readonly status: number; readonly headers?: IncomingHttpHeaders } | Error

/** An upstream that answers what a test says, in turn, and remembers what it was asked. */
function upstreamOf(...answers: readonly (Answer | ((request: http.ClientRequest) => Answer))[]) {
  const calls: (UpstreamCall & { readonly fresh: boolean })[] = []
  const deadlines: number[] = []
  const open: OpenUpstream = (call, fresh = false): OpenCall => {
    const scripted = answers[calls.length] ?? new Error('asked more often than was expected')
    calls.push({ ...call, fresh })
    // It goes nowhere: what a call does on the wire is tested with its client.
    const request = new http.ClientRequest({ createConnection: () => new PassThrough() })
    request.on('error', () => undefined)
    const answer = typeof scripted === 'function' ? scripted(request) : scripted
    return {
      request,
      answer: answer instanceof Error ? Promise.reject(answer) : Promise.resolve(responseOf(answer)),
      awaitHead: (limitMs) => void deadlines.push(limitMs),
    }
  }
  return { open, calls, deadlines }
}

function responseOf({ status, headers = {} }: Exclude<Answer, Error>): IncomingMessage {
  const response: unknown = Object.assign(new PassThrough().end(), { statusCode: status, headers })
  return response as IncomingMessage
}

function names(digest: string): Answer {
  return { status: 200, headers: { 'docker-content-digest': digest } }
}

const absent: Answer = { status: 404, headers: { 'content-type': 'application/json; charset=utf-8' } }

function guardOf(maxWaiting = 100): TagGuard {
  return createTagGuard({
    upstreamUrl: new URL('http://registry.test'),
    upstream: { host: 'registry.test', authorization: 'Basic Z2F0ZXdheQ==' },
    lock: createTagLock(maxWaiting),
    waitMs: 60_000,
    checkMs: 30_000,
  })
}

/** What becomes of a push, and whether it was sent. */
async function outcome(push: GuardedPush, open: OpenUpstream) {
  let sent = 0
  const put = (): Promise<string> => {
    sent += 1
    return Promise.resolve('created')
  }
  const result = await guardOf()
    .guard(push, open, put)
    .catch((error: unknown) => error)
  return { result, sent }
}

describe('a push to a protected tag', () => {
  test.each<readonly [string, Answer]>([
    ['is absent', absent],
    ['is absent, in an answer without a type', { status: 404 }],
    ['is absent, in problem details', { status: 404, headers: { 'content-type': 'application/problem+json' } }],
    ['names the same manifest', names(digestOf(body))],
    ['names the same manifest by sha512', names(digestOf(body, 'sha512'))],
  ])('is sent once where the tag %s', async (_title, answer) => {
    const { open, calls } = upstreamOf(answer)
    expect(await outcome(pushOf(['v1']), open)).toEqual({ result: 'created', sent: 1 })
    expect(calls).toHaveLength(1)
  })

  test.each([
    ['another manifest', digestOf(other)],
    ['another manifest by sha512', digestOf(other, 'sha512')],
  ])('is refused where it names %s', async (_title, digest) => {
    const { result, sent } = await outcome(pushOf(['v1']), upstreamOf(names(digest)).open)
    expect(result).toMatchObject({
      id: 'tagProtected',
      code: 'DENIED',
      status: 403,
      message: 'alice may not move or delete the protected tag v1 of prod/api',
      detail: `the tag v1 of prod/api already names ${digest}`,
    })
    expect(sent).toBe(0)
  })

  const unclear: readonly (readonly [string, Answer])[] = [
    ...[
      100, 201, 202, 203, 204, 206, 300, 301, 302, 304, 307, 308, 400, 401, 403, 405, 406, 410, 429, 500, 502, 503,
    ].map((status) => [`status ${status}`, { status, headers: { 'docker-content-digest': digestOf(body) } }] as const),
    ['no digest', { status: 200 }],
    ['an empty digest', names('')],
    ['a digest in capitals', names(digestOf(body).toUpperCase())],
    ['a digest cut short', names(digestOf(body).slice(0, -1))],
    ['a digest with something behind it', names(`${digestOf(body)} `)],
    ['two digests', names(`${digestOf(body)}, ${digestOf(other)}`)],
    ['an ETag alone', { status: 200, headers: { etag: `"${digestOf(body)}"` } }],
    ['a digest of another algorithm', names(digestOf(body, 'sha384'))],
    ['a digest that is weak', names(`md5:${createHash('md5').update(body).digest('hex')}`)],
    ['a 404 that is a page', { status: 404, headers: { 'content-type': 'text/html' } }],
    ['a 404 of a load balancer', { status: 404, headers: { 'content-type': 'text/plain; charset=utf-8' } }],
    ['no answer', new RegistryError('upstreamUnreachable')],
    ['no answer in time', new RegistryError('upstreamTimeout')],
    ['an answer that is none', new RegistryError('upstreamInvalid')],
  ]
  test.each(unclear)('is not sent where the upstream gives %s', async (_title, answer) => {
    const { result, sent } = await outcome(pushOf(['v1']), upstreamOf(answer).open)
    expect(result).toMatchObject({ id: 'tagCheckFailed', code: 'UNAVAILABLE', status: 503, retryAfterSeconds: 5 })
    expect(sent).toBe(0)
  })

  test('asks for the tag as the gateway, for every type of manifest and past every cache', async () => {
    const { open, calls, deadlines } = upstreamOf(absent)
    await outcome(pushOf(['v1']), open)
    expect(calls).toEqual([
      {
        url: new URL('http://registry.test'),
        method: 'HEAD',
        target: '/v2/prod/api/manifests/v1',
        headers: {
          host: 'registry.test',
          authorization: 'Basic Z2F0ZXdheQ==',
          accept:
            'application/vnd.docker.distribution.manifest.v2+json, ' +
            'application/vnd.docker.distribution.manifest.list.v2+json, ' +
            'application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*',
          'cache-control': 'no-cache',
          'x-request-id': 'x',
          'x-forwarded-for': '192.0.2.1',
          'x-forwarded-host': 'localhost',
          'x-forwarded-proto': 'https',
        },
        fresh: false,
      },
    ])
    expect(deadlines[0]).toBeGreaterThan(29_000)
    expect(deadlines[0]).toBeLessThanOrEqual(30_000)
  })

  test('asks again, over a new connection, when the upstream had closed the pooled one', async () => {
    const stale = (request: http.ClientRequest): Answer => {
      request.reusedSocket = true
      const cause = Object.assign(new Error('reset'), { code: 'ECONNRESET' })
      return new RegistryError('upstreamInvalid', { cause })
    }
    const { open, calls } = upstreamOf(stale, absent)
    expect(await outcome(pushOf(['v1']), open)).toEqual({ result: 'created', sent: 1 })
    expect(calls.map(({ fresh }) => fresh)).toEqual([false, true])
    const twice = upstreamOf(stale, stale, absent)
    expect(await outcome(pushOf(['v1']), twice.open)).toMatchObject({ result: { id: 'tagCheckFailed' }, sent: 0 })
    expect(twice.calls).toHaveLength(2)
  })

  test('says in the cause what the upstream did, for the log', async () => {
    const { result } = await outcome(pushOf(['v1']), upstreamOf({ status: 500 }).open)
    expect(String(result instanceof RegistryError && result.cause)).toContain('v1, the upstream answered 500')
  })

  test('passes on what the push itself fails with', async () => {
    const put = (): Promise<never> => Promise.reject(new RegistryError('upstreamTimeout'))
    const guarded = guardOf().guard(pushOf(['v1']), upstreamOf(absent).open, put)
    await expect(guarded).rejects.toMatchObject({ id: 'upstreamTimeout' })
  })
})

describe('a push that names several protected tags', () => {
  test('is sent once where every one allows it', async () => {
    const { open, calls } = upstreamOf(absent, names(digestOf(body)), names(digestOf(body, 'sha512')))
    expect(await outcome(pushOf(['v1', 'v2', 'v3']), open)).toEqual({ result: 'created', sent: 1 })
    expect(calls.map(({ target }) => target.split('/').at(-1))).toEqual(['v1', 'v2', 'v3'])
  })

  test.each([
    ['the first', [names(digestOf(other)), absent, absent], 'v1'],
    ['the last', [absent, names(digestOf(body)), names(digestOf(other))], 'v3'],
  ])('is refused for %s that it would move', async (_title, answers: readonly Answer[], named) => {
    const { result, sent } = await outcome(pushOf(['v1', 'v2', 'v3']), upstreamOf(...answers).open)
    expect(result).toMatchObject({ id: 'tagProtected', message: expect.stringContaining(`tag ${named} of`) })
    expect(sent).toBe(0)
  })

  test('gives all questions together one deadline', async () => {
    const { open, deadlines } = upstreamOf(absent, absent)
    await outcome(pushOf(['v1', 'v2']), open)
    expect(deadlines[1]).toBeLessThanOrEqual(deadlines[0] ?? 0)
  })

  test('is refused with more tags than the upstream is asked for', async () => {
    const tags = Array.from({ length: 17 }, (_, index) => `v${index}`)
    const upstream = upstreamOf()
    expect(await outcome(pushOf(tags), upstream.open)).toMatchObject({ result: { status: 414 }, sent: 0 })
    expect(upstream.calls).toEqual([])
    const all = upstreamOf(...tags.map(() => absent))
    expect(await outcome(pushOf(tags.slice(0, 16)), all.open)).toMatchObject({ sent: 1 })
  })
})

describe('two pushes to one protected tag', () => {
  test('are asked and sent one after the other', async () => {
    const guard = guardOf()
    const { open, calls } = upstreamOf(absent, names(digestOf(body)))
    const first = Promise.withResolvers<string>()
    const winner = guard.guard(pushOf(['v1']), open, () => first.promise)
    const loser = guard.guard(pushOf(['v1'], { body: other }), open, () => Promise.resolve('created'))
    loser.catch(() => undefined)
    await new Promise((resolve) => setImmediate(resolve))
    expect(calls).toHaveLength(1)
    first.resolve('created')
    expect(await winner).toBe('created')
    await expect(loser).rejects.toMatchObject({ id: 'tagProtected' })
  })

  test('wait for each other where one of them may move it, which is asked nothing', async () => {
    const guard = guardOf()
    const { open, calls } = upstreamOf(names(digestOf(body)))
    const first = Promise.withResolvers<string>()
    const owner = guard.guard(pushOf([], { lockedTags: [tag('v1')] }), open, () => first.promise)
    const again = guard.guard(pushOf(['v1']), open, () => Promise.resolve('unchanged'))
    await new Promise((resolve) => setImmediate(resolve))
    expect(calls).toHaveLength(0)
    first.resolve('moved')
    expect([await owner, await again]).toEqual(['moved', 'unchanged'])
    expect(calls).toHaveLength(1)
  })

  test('do not hold up a push to a tag of the same name elsewhere', async () => {
    const guard = guardOf(0)
    const { open } = upstreamOf(absent, absent)
    const first = Promise.withResolvers<string>()
    const slow = guard.guard(pushOf(['v1']), open, () => first.promise)
    const elsewhere = pushOf(['v1'], { repository: repository('prod/api2') })
    expect(await guard.guard(elsewhere, open, () => Promise.resolve('created'))).toBe('created')
    first.resolve('created')
    await slow
  })

  test('cost the upstream nothing for a client that left while it waited', async () => {
    const guard = guardOf()
    const { open, calls } = upstreamOf(absent)
    const first = Promise.withResolvers<string>()
    const slow = guard.guard(pushOf(['v1']), open, () => first.promise)
    const client = new AbortController()
    const left = guard.guard(pushOf(['v1'], { signal: client.signal }), open, () => Promise.resolve('never'))
    left.catch(() => undefined)
    client.abort(new Error('left'))
    await expect(left).rejects.toThrow('left')
    first.resolve('created')
    await slow
    expect(calls).toHaveLength(1)
  })
})
