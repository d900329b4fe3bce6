/** What an upstream answers that is broken, or not ours: the headers that reach a client. */
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { clientResponseHeaders } from '../../src/proxy/response-headers.ts'
import { RegistryError } from '../../src/registry/error.ts'
import { parseRegistryRequest, printTarget } from '../../src/registry/route.ts'
import { mutatedBytes } from './bytes.ts'
import { createFuzzTarget, must } from './target.ts'

const digest = `sha256:${'ab'.repeat(32)}`
const locations = [
  'http://registry:5000/v2/a/b/blobs/uploads/0f-1?_state=x%2By==',
  '/v2/a/b/blobs/uploads/0f-1?_state=x',
  `//other/v2/a/b/blobs/${digest}#fragment`,
  `/v2/a/b/manifests/${digest}`,
  '?_state=next',
  '0f-2?_state=next',
  'https://storage.example.org/v2/c/blobs/uploads/1',
]
const links = [
  '</v2/a/b/tags/list?n=5&last=v1>; rel="next"',
  '<http://registry:5000/v2/_catalog?last=a%2Fb&n=100>; rel=next',
  '<?last=x>; rel="next", </v2/>; rel="prev"',
]
const requests = [
  ['GET', '/v2/'],
  ['GET', '/v2/_catalog?n=5'],
  ['GET', '/v2/a/b/tags/list'],
  ['PUT', '/v2/a/b/manifests/v1'],
  ['POST', '/v2/a/b/blobs/uploads/'],
  ['PATCH', '/v2/a/b/blobs/uploads/0f-1?_state=x'],
] as const

const words = [
  '/v2/',
  '//',
  '/../',
  '%2f',
  'http://',
  '?',
  '#',
  '\r\n',
  '<',
  '>',
  ';',
  'rel="next"',
  'last=',
  '/blobs/uploads/',
]
const answers = fc.record({
  request: fc.constantFrom(...requests),
  status: fc.constantFrom(200, 201, 202, 204, 206, 301, 307, 404, 416, 500),
  headers: fc.record(
    {
      location: mutatedBytes(locations, words),
      link: mutatedBytes(links, words),
      connection: mutatedBytes(
        ['keep-alive', 'close, docker-upload-uuid', 'location, content-length'],
        [',', ' ', 'etag'],
      ),
      'content-length': fc.constantFrom('0', '5', '-1'),
      'docker-upload-uuid': fc.string(),
      'set-cookie': fc.array(fc.string()),
      'www-authenticate': fc.string(),
      'x-anything': fc.string(),
    },
    { requiredKeys: [] },
  ),
})

type Answer = typeof answers extends fc.Arbitrary<infer Value> ? Value : never

/** Whatever the upstream says, the client stays here and in the repository it asked for; and a second pass changes nothing. */
function checkAnswer({ request: [method, target], status, headers }: Answer): void {
  const request = parseRegistryRequest(method, target)
  const passed = passedBy(headers, status, request)
  if (passed === undefined) return
  for (const name of ['connection', 'set-cookie', 'www-authenticate', 'x-anything']) {
    must(!passed.has(name), `${name} is passed on`)
  }
  const location = passed.get('location')
  if (location !== undefined) checkLocation(location, request)
  const link = passed.get('link')
  if (link !== undefined) {
    const reference = /^<(\/v2\/[!-;=?-~]*)>; rel="next"$/.exec(link)?.[1]
    must(reference !== undefined, `the Link ${link} is not a path of ours`)
    const listing = parseRegistryRequest('GET', reference)
    must(listing.kind === 'tags' || listing.kind === 'catalog', `the Link ${link} is not to a listing`)
  }
  const again = passedBy(Object.fromEntries(passed), status, request)
  must(isDeepStrictEqual(again, passed), 'a second pass changes it')
}

type Request = ReturnType<typeof parseRegistryRequest>

function passedBy(headers: Answer['headers'], status: number, request: Request) {
  try {
    return clientResponseHeaders(headers, status, request)
  } catch (error) {
    if (error instanceof RegistryError && error.id === 'upstreamInvalid' && status === 202) return undefined
    throw error
  }
}

function checkLocation(location: string, request: Request): void {
  must(/^\/v2\/[!-~]*$/.test(location), `the Location ${location} is not a path of ours`)
  const pointed = parseRegistryRequest('GET', location)
  must(printTarget(pointed) === location, `the Location ${location} is not as we print it`)
  const isSame = 'repository' in pointed && 'repository' in request && pointed.repository === request.repository
  must(isSame, `the Location ${location} is of another repository`)
}

export const answerTargets = [createFuzzTarget('upstream-answer', answers, checkAnswer)]
