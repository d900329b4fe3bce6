/**
 * Our router against the registry's own. Nothing builds an upstream target but `printTarget` of what
 * `parseRegistryRequest` made of the request line (`gateway.ts`, `proxy.ts`), so most lines are parsed and printed here
 * and the registry is asked the print; that the gateway forwards exactly this is shown for a part of them on its sockets.
 */
import { createHash } from 'node:crypto'
import http from 'node:http'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { evaluate } from '../../src/authorization/evaluate.ts'
import { RegistryError } from '../../src/registry/error.ts'
import { printReference } from '../../src/registry/name.ts'
import { parseRegistryRequest, printTarget } from '../../src/registry/route.ts'
import type { RegistryRequest } from '../../src/registry/route.ts'
import { hostileLines, ordinaryLines } from '../../tools/fuzz/request-lines.ts'
import type { RequestLine, Vocabulary } from '../../tools/fuzz/request-lines.ts'
import { authenticatedUsersOnly } from '../support/fixed-policy.ts'
import { basicOf } from '../support/personas.ts'
import { sendRaw } from '../support/raw-http-client.ts'
import { describeWith } from '../support/real-parts.ts'
import { startRealRegistry } from '../support/real-registry.ts'
import type { RealRegistry } from '../support/real-registry.ts'
import { startGateway } from '../support/start-gateway.ts'
import { until } from '../support/until.ts'

const seed = 20_261_121

function parsed({ method, target }: RequestLine): RegistryRequest | undefined {
  try {
    return parseRegistryRequest(method, target)
  } catch (error) {
    if (error instanceof RegistryError) return undefined
    throw error
  }
}

const key = ({ method, target }: RequestLine): string => `${method} ${target}`

function distinct(lines: readonly RequestLine[]): readonly RequestLine[] {
  return [...new Map(lines.map((line) => [key(line), line])).values()]
}

type Answer = { readonly status: number; readonly challenge: string; readonly location: string; readonly body: string }

/** Asks the registry itself, many at a time, on connections that are kept. */
function createAsker(registry: RealRegistry) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 16 })
  const ask = ({ method, target }: RequestLine, headers: http.OutgoingHttpHeaders, body = ''): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const options = { host: '127.0.0.1', port: registry.port, agent, method, path: target }
      const length = method.startsWith('P') ? { 'content-length': Buffer.byteLength(body) } : {}
      const request = http.request({ ...options, headers: { ...length, ...headers } }, (response) => {
        let text = ''
        response.setEncoding('latin1').on('data', (chunk: string) => {
          text += chunk
        })
        response.on('error', reject).on('end', () => {
          const { 'www-authenticate': challenge = '', location = '' } = response.headers
          resolve({ status: response.statusCode ?? 0, challenge, location, body: text })
        })
      })
      request.on('error', reject).end(body)
    })
  return { ask, close: () => agent.destroy() }
}

async function inParallel<Item>(
  items: readonly Item[],
  work: (item: Item, index: number) => Promise<void>,
  width = 16,
) {
  const queue = items.entries()
  const worker = async (): Promise<void> => {
    for (const [index, item] of queue) await work(item, index)
  }
  await Promise.all(Array.from({ length: width }, worker))
}

/** What the registry's router made of a request, from the line of its log that carries the user agent of the request. */
type Routed = { readonly name: string; readonly reference: string; readonly digest: string; readonly uuid: string }

function routedByAgent(log: string): ReadonlyMap<string, Routed> {
  const value = (line: string, name: string): string => {
    const found = new RegExp(` ${name}=("(?:[^"\\\\]|\\\\.)*"|[^ "]+)`).exec(line)?.[1] ?? ''
    return found.startsWith('"') ? String(JSON.parse(found)) : found
  }
  const lines = log.split('\n').filter((line) => line.includes('error authorizing context'))
  return new Map(
    lines.map((line) => [
      value(line, 'http.request.useragent'),
      {
        name: value(line, 'vars.name'),
        reference: value(line, 'vars.reference'),
        digest: value(line, 'vars.digest'),
        uuid: value(line, 'vars.uuid'),
      },
    ]),
  )
}

/** What the router has to say of a request that means what we authorize. */
function meant(request: RegistryRequest): Routed {
  return {
    name: 'repository' in request ? request.repository : '',
    reference: request.kind === 'manifest' ? printReference(request.reference) : '',
    digest: request.kind === 'blob' ? request.digest : '',
    uuid: request.kind === 'upload-session' ? request.session : '',
  }
}

/** The resources whose rights the registry would ask for, from its challenge: a mount's source is among them. */
function resourcesOf({ challenge }: Answer): readonly string[] {
  const scope = /scope="([^"]*)"/.exec(challenge)?.[1] ?? ''
  return [
    ...new Set(
      scope
        .split(' ')
        .filter((text) => text !== '')
        .map((text) => text.split(':')[1] ?? ''),
    ),
  ].sort()
}

function resourcesMeant(request: RegistryRequest): readonly string[] {
  if (request.kind === 'catalog') return ['catalog']
  if (!('repository' in request)) return []
  const from = request.kind === 'upload-start' ? request.mount?.from : undefined
  return [...new Set([request.repository, ...(from === undefined ? [] : [from])])].sort()
}

const sha256 = (content: string): string => `sha256:${createHash('sha256').update(content).digest('hex')}`
const repositories = [
  'a',
  'secret/app',
  'a/blobs/uploads',
  'manifests/tags',
  'tags/list',
  'b-c_d.e/f--g__h',
  'v2/blobs',
]
const tags = ['latest', 'v1', 'list', 'uploads', '_x', `sha256-${'ab'.repeat(32)}`]
const layer = 'a layer'
const manifest = JSON.stringify({
  schemaVersion: 2,
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: sha256('{}'), size: 2 },
  layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: sha256(layer), size: layer.length }],
})

// With this authentication the registry refuses whoever sends no Authorization, and says in its challenge and in its log
// how it has read the request; whoever sends one, whatever it holds, is served.
const silly = { auth: { silly: { realm: 'r', service: 's' } }, log: { accesslog: { disabled: true } } }
const served = { authorization: 'x' }

describeWith(['docker-registry'], 'the gateway and the registry read a request line alike', () => {
  let registry: RealRegistry
  let asker: ReturnType<typeof createAsker>
  let vocabulary: Vocabulary
  let ordinary: readonly RequestLine[]
  let lines: readonly RequestLine[]

  beforeAll(async () => {
    registry = await startRealRegistry({ dataIn: 'memory', isRelativeUrls: true, configuration: silly })
    asker = createAsker(registry)
    const uploads = []
    for (const repository of repositories) {
      const start = { method: 'POST', target: `/v2/${repository}/blobs/uploads/` }
      for (const content of ['{}', layer]) {
        const { location } = await asker.ask(start, served)
        const put = { method: 'PUT', target: `${location}&digest=${sha256(content)}` }
        expect((await asker.ask(put, served, content)).status).toBe(201)
      }
      for (const tag of tags) {
        const put = { method: 'PUT', target: `/v2/${repository}/manifests/${tag}` }
        const type = { 'content-type': 'application/vnd.oci.image.manifest.v1+json' }
        expect((await asker.ask(put, { ...served, ...type }, manifest)).status).toBe(201)
      }
      const { location } = await asker.ask(start, served)
      const { pathname, searchParams } = new URL(location, registry.url)
      uploads.push({ repository, session: pathname.split('/').at(-1) ?? '', query: searchParams.toString() })
    }
    vocabulary = { repositories, tags, digests: [sha256('{}'), sha256(layer), sha256(manifest)], uploads }
    ordinary = distinct(fc.sample(ordinaryLines(vocabulary), { seed, numRuns: 4_000 }))
    lines = distinct([...ordinary, ...fc.sample(hostileLines(vocabulary), { seed, numRuns: 14_000 })])
  })
  afterAll(async () => {
    asker.close()
    await registry.stop()
  })

  test('more than 10,000 request lines are told apart', () => {
    expect(lines.length).toBeGreaterThan(10_000)
    const kinds = Map.groupBy<string, RequestLine>(lines, (line) => parsed(line)?.kind ?? 'refused')
    for (const kind of ['tags', 'manifest', 'blob', 'referrers', 'upload-start', 'upload-session', 'refused']) {
      expect({ kind, isTried: (kinds.get(kind)?.length ?? 0) > 100 }).toEqual({ kind, isTried: true })
    }
    expect(kinds.get('base')?.length).toBeGreaterThan(1)
    expect(kinds.get('catalog')?.length).toBeGreaterThan(10)
  })

  test('what is forwarded means to the registry what was authorized: repository, kind and reference', async () => {
    const requests = lines.flatMap((line) => parsed(line) ?? [])
    const prints = [...new Map(requests.map((request) => [key(printed(request)), request])).values()]
    const answers: Answer[] = []
    await inParallel(prints, async (request, index) => {
      answers[index] = await asker.ask(printed(request), { 'user-agent': `q${String(index)}` })
    })
    await asker.ask({ method: 'GET', target: '/v2/' }, { 'user-agent': 'the-last' })
    await until(() => registry.log().includes('http.request.useragent=the-last'), { what: 'the log is whole' })
    const routed = routedByAgent(registry.log())

    const wrong = prints.flatMap((request, index): readonly unknown[] => {
      const answer = answers[index]
      const line = key(printed(request))
      if (answer === undefined) return [{ line, wrong: 'no answer' }]
      // What this registry does not route at all it cannot route to something else: it has no referrers, and its own
      // sessions have no tilde.
      if (request.kind === 'referrers' || (request.kind === 'upload-session' && request.session.includes('~')))
        return answer.status === 404 && !routed.has(`q${String(index)}`) ? [] : [{ line, answer }]
      const got = { routed: routed.get(`q${String(index)}`), status: answer.status }
      const expected = { routed: meant(request), status: 401 }
      if (!isSame(got, expected)) return [{ line, got, expected }]
      // On an upload session `from` is of the upstream's own query; the registry reads it only where an upload starts.
      const resources =
        request.kind === 'upload-session'
          ? resourcesOf(answer).filter((name) => name === request.repository)
          : resourcesOf(answer)
      return isSame(resources, resourcesMeant(request)) ? [] : [{ line, resources }]
    })
    expect(wrong).toEqual([])
    expect(prints.length).toBeGreaterThan(2_000)
  })

  test('what the registry names by repository alone, or not at all, is of the kind that was authorized', async () => {
    const requests = lines.flatMap((line) => parsed(line) ?? [])
    const kinds = ['base', 'catalog', 'tags', 'upload-start']
    const some = new Map(
      requests.filter(({ kind }) => kinds.includes(kind)).map((request) => [key(printed(request)), request]),
    )
    const wrong: unknown[] = []
    await inParallel([...some.values()], async (request) => {
      const { method, target } = printed(request)
      const answer = await asker.ask({ method: method === 'HEAD' ? 'GET' : method, target }, served)
      if (kindServed(answer) !== request.kind) wrong.push({ line: key({ method, target }), answer })
    })
    expect(wrong).toEqual([])
    expect(some.size).toBeGreaterThan(500)
  })

  test('an ordinary read, printed, is answered like the original', async () => {
    const reads = ordinary.filter((line) => line.method === 'GET' && parsed(line)?.kind !== 'upload-session')
    const wrong: unknown[] = []
    await inParallel(reads, async (line) => {
      const request = parsed(line)
      const print = request === undefined ? undefined : printed(request)
      if (print === undefined || print.target === line.target) return
      const [original, answer] = await Promise.all([asker.ask(line, served), asker.ask(print, served)])
      if (!isSame(original, answer)) wrong.push({ line: key(line), original, print: key(print), answer })
    })
    expect(wrong).toEqual([])
    expect(reads.length).toBeGreaterThan(100)
  })

  test('nothing is refused that the registry serves to ordinary clients', async () => {
    const isOrdinary = new Set(ordinary.map(key))
    const refused = lines.filter((line) => parsed(line) === undefined && isSendable(line))
    expect(refused.length).toBeGreaterThan(2_000)
    const isRead = ({ method }: RequestLine): boolean => method === 'GET' || method === 'HEAD'
    const found: RequestLine[] = []
    // Writes come last: what they take away could no longer be served.
    for (const some of [refused.filter(isRead), refused.filter((line) => !isRead(line))]) {
      await inParallel(some, async (line) => {
        // Of what its parser cannot read the registry says so in ways that a client trips over; served it is not.
        const { status } = await asker.ask(line, served).catch(() => ({ status: 0 }))
        if (status >= 200 && status < 300) found.push(line)
      })
    }
    expect(found.filter((line) => isOrdinary.has(key(line)) || isPlain(line))).toEqual([])
    // That something was found at all shows that the question was put: other spellings of what is there.
    expect(found.length).toBeGreaterThan(10)
    expect(ordinary.filter((line) => parsed(line) === undefined)).toEqual([])
  })

  test('the gateway forwards the print of what was authorized, and of what is refused nothing', async () => {
    const behind = await startRealRegistry({ dataIn: 'memory' })
    const gateway = await startGateway({ upstreamUrl: behind.url, settings: { authentication: { failureFloorMs: 1 } } })
    try {
      const step = Math.floor(lines.length / 1_000)
      const sample = lines.filter((_line, index) => index % step === 0).slice(0, 1_000)
      expect(sample).toHaveLength(1_000)
      const statuses: number[] = []
      await inParallel(
        sample,
        async ({ method, target }, index) => {
          const first = [`${method} ${target} HTTP/1.1`, 'Host: localhost:8443', `Authorization: ${basicOf('alice')}`]
          const length = method.startsWith('P') ? ['Content-Length: 0'] : []
          const head = [...first, `User-Agent: q${String(index)}`, ...length, 'Connection: close', '', '']
          const { text } = await sendRaw(gateway.target, head.join('\r\n'))
          statuses[index] = Number(text.slice('HTTP/1.1 '.length, 'HTTP/1.1 '.length + 3))
        },
        8,
      )
      const asked = Map.groupBy(behind.requests(), ({ userAgent }) => userAgent)
      const wrong = sample.flatMap((line, index) => {
        // The log has a backslash before each quote and backslash.
        const got = (asked.get(`q${String(index)}`) ?? []).map((request) => key(request).replaceAll(/\\(.)/g, '$1'))
        const expected = forwarded(line)
        const isAnswered = parsed(line)?.kind === 'catalog' || [400, 404, 405].includes(statuses[index] ?? 0)
        const isRight = isSame(got, expected) && (expected.length > 0 || isAnswered)
        return isRight ? [] : [{ line: key(line), got, expected, status: statuses[index] }]
      })
      expect(wrong).toEqual([])
      expect(asked.size).toBeGreaterThan(200)
    } finally {
      await gateway.stop()
      await behind.stop()
    }
  })
})

function printed(request: RegistryRequest): RequestLine {
  return { method: request.method, target: printTarget(request) }
}

function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}

/** What an answer shows of the handler it came from. */
function kindServed({ status, body, location }: Answer): string {
  if (status === 200 && body === '{}') return 'base'
  if (status === 200 && body.startsWith('{"repositories":')) return 'catalog'
  if ((status === 200 && body.includes('"tags":')) || body.includes('"NAME_UNKNOWN"')) return 'tags'
  return /^\/v2\/.*\/blobs\//.test(location) || body.includes('"DIGEST_INVALID"')
    ? 'upload-start'
    : `status ${String(status)} ${body}`
}

/** Whether Node's client would send the target as it is; the rest is for raw sockets. */
function isSendable({ target }: RequestLine): boolean {
  return /^[!-~]+$/.test(target)
}

/**
 * A spelling of the specification's own, without anything that one server might read otherwise than another. The
 * registry serves more: a first path segment with capitals or a port, which it takes for a host, and any method on the
 * base; no client sends these.
 */
function isPlain({ target }: RequestLine): boolean {
  return /^\/v2\/(?:[a-z0-9_-][a-z0-9._-]*\/)+[A-Za-z0-9._:=+-]*$/.test(target)
}

/** The request line that goes upstream for one that comes in: none or one. */
function forwarded(line: RequestLine): readonly string[] {
  const request = parsed(line)
  if (request === undefined) return []
  const alice = { kind: 'user', name: 'alice', groups: [], method: 'htpasswd' } as const
  const circumstances = { address: '127.0.0.1', now: 0, ownHosts: new Set<string>() }
  const decision = evaluate(authenticatedUsersOnly, alice, request, circumstances)
  // The catalog is answered by the gateway itself.
  const isAsked = decision.kind === 'granted' && request.kind !== 'catalog'
  return isAsked ? [key(printed(decision.grant.request))] : []
}
