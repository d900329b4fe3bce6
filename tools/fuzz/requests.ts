/** What a stranger sends before anybody knows who they are: target, credentials, PROXY header. */
import { isIP } from 'node:net'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { parseAuthorization } from '../../src/authentication/credentials.ts'
import { parseProxyHeader } from '../../src/listener/proxy-protocol.ts'
import type { Endpoint, ProxyHeaderResult } from '../../src/listener/proxy-protocol.ts'
import { RegistryError } from '../../src/registry/error.ts'
import { parseRegistryRequest, printTarget } from '../../src/registry/route.ts'
import type { RegistryRequest } from '../../src/registry/route.ts'
import { mutatedBytes } from './bytes.ts'
import { hostileLines, ordinaryLines, plainVocabulary } from './request-lines.ts'
import type { RequestLine } from './request-lines.ts'
import { createFuzzTarget, must } from './target.ts'

const digest = `sha256:${'ab'.repeat(32)}`
const targetCorpus = [
  '/v2/',
  '/v2/_catalog?n=100&last=a%2Fb',
  '/v2/library/alpine/tags/list?n=5&last=v1',
  `/v2/a/manifests/${digest}?tag=v1&tag=v2`,
  `/v2/a/blobs/uploads/?mount=${encodeURIComponent(digest)}&from=b%2Fc&origin=x%3A5000`,
  `/v2/a/blobs/uploads/?digest=${digest}&digest-algorithm=sha512`,
  `/v2/a/blobs/uploads/0f-1?_state=a%2Bb==&digest=${digest}`,
  `/v2/a/referrers/${digest}?artifactType=application%2Fx%2Bjson`,
]
const targetWords = [
  '/v2/',
  '/blobs/',
  '/uploads/',
  '/manifests/',
  '/tags/list',
  '/../',
  '//',
  '%2f',
  '%2e',
  '%00',
  '&',
  '?',
  '=',
]

const requestLines: fc.Arbitrary<RequestLine> = fc.oneof(
  ordinaryLines(plainVocabulary),
  hostileLines(plainVocabulary),
  fc.record({
    method: fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'TRACE', 'get', ''),
    target: mutatedBytes(targetCorpus, targetWords),
  }),
)

function parsed({ method, target }: RequestLine): RegistryRequest | undefined {
  try {
    return parseRegistryRequest(method, target)
  } catch (error) {
    if (error instanceof RegistryError && error.status >= 400 && error.status < 500) return undefined
    throw error
  }
}

/** `origin` and a mount without a source are for us alone; everything else of a request is printed. */
function asPrinted(request: RegistryRequest): RegistryRequest {
  if (request.kind !== 'upload-start' || request.mount === undefined) return request
  return { ...request, mount: { ...request.mount, origin: undefined } }
}

/** What is printed is read back as the same, and no reader of URLs would make another path of it. */
function checkTarget(line: RequestLine): void {
  const request = parsed(line)
  if (request === undefined) return
  const target = printTarget(request)
  const again = parsed({ method: request.method, target })
  must(again !== undefined, `its print ${target} is refused`)
  must(isDeepStrictEqual(again, asPrinted(request)), `its print ${target} is read as something else`)
  must(printTarget(again) === target, `its print ${target} is printed otherwise`)
  must(/^\/v2\/[!-~]*$/.test(target) && !target.includes('#'), `its print ${target} has other than visible characters`)
  const path = target.split('?', 1)[0]
  must(new URL(target, 'http://upstream').pathname === path, `the path of its print ${target} would be changed`)
}

const base64 = (text: string): string => Buffer.from(text, 'utf8').toString('base64')
const authorizationCorpus = [
  `Basic ${base64('alice:correct horse: battery staple')}`,
  `basic  ${base64('bob:')}`,
  `Basic ${base64('\u00fcmlaut:\u{1f511}')}`,
  'Basic Og==',
  'Bearer abc.def-_~+/==',
  'Digest username="alice", realm="x"',
]
const credentials = fc
  .tuple(fc.string({ unit: 'binary', maxLength: 20 }), fc.string({ unit: 'binary', maxLength: 20 }))
  .map(([username, password]) => `Basic ${base64(`${username}:${password}`)}`)

function checkAuthorization(header: string): void {
  const result = parseAuthorization(header)
  if (result.kind === 'basic') {
    const { username, password } = result
    must(!username.includes(':') && !/\p{Cc}/u.test(username), 'the user name has a colon or a control character')
    const encoded = header.replace(/^basic +/i, '')
    must(base64(`${username}:${password}`) === encoded, 'name and password print as other credentials')
  }
  if (result.kind === 'bearer') must(header.replace(/^bearer +/i, '') === result.token, 'the token is not the header’s')
}

const signature = '\r\n\r\n\0\r\nQUIT\n'
const proxyCorpus = [
  'PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\nGET /',
  'PROXY TCP6 2001:db8::1 ::ffff:192.0.2.1 1 65535\r\n\x16\x03\x01',
  'PROXY UNKNOWN anything at all\r\n',
  `${signature}\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb\x16\x03`,
  `${signature}\x21\x21\x00\x24${'\x20\x01\x0d\xb8'.repeat(8)}\x00\x01\xff\xff`,
  `${signature}\x20\x00\x00\x00`,
  `${signature}\x21\x11\x00\x12\xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb\x04\x00\x03abc`,
  `${signature}\x21\x11\x00\x13\xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb\x03\x00\x04\x12\x34\x56\x78`,
]

/** However the bytes come in, they are read alike, and what is read prints as a header that says the same. */
function checkProxyHeader({ bytes, cuts }: { readonly bytes: string; readonly cuts: readonly number[] }): void {
  const whole = Buffer.from(bytes, 'latin1')
  const result = parseProxyHeader(whole)
  for (const cut of cuts) {
    const part = parseProxyHeader(whole.subarray(0, cut % (whole.length + 1)))
    must(part.kind === 'more' || part.kind === result.kind, 'the first part is read otherwise than the whole')
    if (part.kind === 'header') must(isDeepStrictEqual(part, result), 'the first part says something else')
  }
  if (result.kind === 'invalid') must(/^[ -~]+$/.test(result.reason), 'the reason repeats what was sent')
  if (result.kind !== 'header') return
  must(result.length > 0 && result.length <= whole.length, 'it ends behind the bytes')
  if (result.header.kind === 'local') return
  const { source, destination } = result.header
  for (const { address, port } of [source, destination]) {
    must(isIP(address) !== 0 && port >= 0 && port <= 65_535, 'it has no address')
  }
  must(
    isDeepStrictEqual(headerOf(parseProxyHeader(asText(source, destination))), result.header),
    'its print says something else',
  )
}

function asText(source: Endpoint, destination: Endpoint): Buffer {
  const ports = `${String(source.port)} ${String(destination.port)}`
  return Buffer.from(`PROXY TCP${String(isIP(source.address))} ${source.address} ${destination.address} ${ports}\r\n`)
}

function headerOf(result: ProxyHeaderResult): unknown {
  return result.kind === 'header' ? result.header : undefined
}

export const requestTargets = [
  createFuzzTarget('request-target', requestLines, checkTarget),
  createFuzzTarget(
    'authorization',
    fc.oneof(mutatedBytes(authorizationCorpus, ['Basic ', 'Bearer ', '=', '==', ' ', 'Og==']), credentials),
    checkAuthorization,
  ),
  createFuzzTarget(
    'proxy-header',
    fc.record({
      bytes: mutatedBytes(proxyCorpus, ['PROXY ', 'TCP4 ', '\r\n', signature, '\x21\x11', ' 0', '::', '%eth0']),
      cuts: fc.array(fc.nat({ max: 300 }), { maxLength: 5 }),
    }),
    checkProxyHeader,
  ),
]
