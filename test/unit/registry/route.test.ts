import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { RegistryError } from '../../../src/registry/error.ts'
import { parseRegistryRequest, printTarget } from '../../../src/registry/route.ts'

const digest = `sha256:${'a'.repeat(64)}`

function refusal(method: string, target: string): string {
  try {
    parseRegistryRequest(method, target)
  } catch (error) {
    if (error instanceof RegistryError) return `${error.status} ${error.id}`
    throw error
  }
  return 'accepted'
}

describe('every endpoint of the specification is parsed and printed back', () => {
  test.each([
    ['end-1', 'GET', '/v2/', 'base'],
    ['end-2', 'GET', `/v2/library/alpine/blobs/${digest}`, 'blob'],
    ['end-2 HEAD', 'HEAD', `/v2/library/alpine/blobs/${digest}`, 'blob'],
    ['end-3', 'GET', '/v2/library/alpine/manifests/3.19', 'manifest'],
    ['end-3 by digest', 'HEAD', `/v2/library/alpine/manifests/${digest}`, 'manifest'],
    ['end-4a', 'POST', '/v2/a/blobs/uploads/', 'upload-start'],
    ['end-4b', 'POST', `/v2/a/blobs/uploads/?digest=${encodeURIComponent(digest)}`, 'upload-start'],
    ['end-4c', 'POST', '/v2/a/blobs/uploads/?digest-algorithm=sha512', 'upload-start'],
    ['end-5', 'PATCH', '/v2/a/blobs/uploads/0f-1?_state=x%2By==&k', 'upload-session'],
    ['end-6', 'PUT', `/v2/a/blobs/uploads/0f-1?_state=x&digest=${digest}`, 'upload-session'],
    ['end-7a', 'PUT', '/v2/a/manifests/v1', 'manifest'],
    ['end-7b', 'PUT', `/v2/a/manifests/${digest}?tag=v1&tag=latest`, 'manifest'],
    ['end-8a', 'GET', '/v2/a/tags/list', 'tags'],
    ['end-8b', 'GET', '/v2/a/tags/list?n=10&last=v1', 'tags'],
    ['end-9', 'DELETE', '/v2/a/manifests/v1', 'manifest'],
    ['end-10', 'DELETE', `/v2/a/blobs/${digest}`, 'blob'],
    ['end-11', 'POST', `/v2/a/blobs/uploads/?mount=${encodeURIComponent(digest)}&from=b%2Fc`, 'upload-start'],
    ['end-12a', 'GET', `/v2/a/referrers/${digest}`, 'referrers'],
    ['end-12b', 'GET', `/v2/a/referrers/${digest}?artifactType=application%2Fx%2Bjson`, 'referrers'],
    ['end-13', 'GET', '/v2/a/blobs/uploads/0f-1?_state=x', 'upload-session'],
    ['end-14', 'DELETE', '/v2/a/blobs/uploads/0f-1?_state=x', 'upload-session'],
    ['catalog', 'GET', '/v2/_catalog?n=10&last=a%2Fb', 'catalog'],
  ])('%s: %s %s is %s', (_name, method, target, kind) => {
    const request = parseRegistryRequest(method, target)
    expect(request).toMatchObject({ kind, method })
    expect(printTarget(request)).toBe(target)
  })
})

describe('names match from the right', () => {
  test.each([
    ['/v2/secret/app/blobs/uploads/manifests/latest', 'manifest', 'secret/app/blobs/uploads'],
    ['/v2/a/manifests/b/manifests/c', 'manifest', 'a/manifests/b'],
    ['/v2/a/tags/list/tags/list', 'tags', 'a/tags/list'],
    [`/v2/a/referrers/b/blobs/${digest}`, 'blob', 'a/referrers/b'],
    ['/v2/a/blobs/uploads/blobs/uploads/x', 'upload-session', 'a/blobs/uploads'],
    ['/v2/a/blobs/uploads/manifests', 'upload-session', 'a'],
    ['/v2/manifests/manifests/manifests', 'manifest', 'manifests'],
    ['/v2/tags/list/manifests/v1', 'manifest', 'tags/list'],
  ])('%s is a %s of %s', (target, kind, repository) => {
    expect(parseRegistryRequest('GET', target)).toMatchObject({ kind, repository })
  })
})

describe('targets that two servers could read differently are refused', () => {
  test.each([
    ['/v2/secret%2Fapp/manifests/v1', '400 targetInvalid'],
    ['/v2/secret/app/manifests%2Fv1', '400 targetInvalid'],
    ['/v2/pub%2F..%2Fsecret/tags/list', '400 targetInvalid'],
    ['/v2/pub/../secret/app/tags/list', '400 targetInvalid'],
    ['/v2/pub/%2e%2e/secret/tags/list', '400 targetInvalid'],
    ['/v2/./_catalog', '400 targetInvalid'],
    ['/v2//secret/app/tags/list', '400 targetInvalid'],
    ['/v2/secret;x/app/tags/list', '400 targetInvalid'],
    ['/v2/secret\\app/tags/list', '400 targetInvalid'],
    ['/v2/secret%5capp/tags/list', '400 targetInvalid'],
    ['/v2/a%00/tags/list', '400 targetInvalid'],
    ['/v2/a%09/tags/list', '400 targetInvalid'],
    ['/v2/a%c0%af/tags/list', '400 targetInvalid'],
    ['/v2/a%e2%80%8b/tags/list', '400 targetInvalid'],
    ['/v2/a%zz/tags/list', '400 targetInvalid'],
    ['/v2/a%252fb/tags/list', '400 targetInvalid'],
    ['/v2/a/tags/list#x', '400 targetInvalid'],
    ['/v2/Secret/app/tags/list', '400 nameInvalid'],
    ['/v2/%53ecret/app/tags/list', '400 nameInvalid'],
    ['/v2/localhost:5000/a/tags/list', '400 nameInvalid'],
    [`/v2/${'a/'.repeat(128)}b/tags/list`, '400 nameInvalid'],
    ['/v2/a/manifests/v1/', '404 routeUnknown'],
    ['/v2/a/tags/list/', '404 routeUnknown'],
    ['/v2/a/tags/listXYZ', '404 routeUnknown'],
    ['/v2/_catalog/', '404 routeUnknown'],
    ['/v2/_CATALOG', '404 routeUnknown'],
    ['/v2/_catalog%3Fn=1', '404 routeUnknown'],
    ['/V2/a/tags/list', '404 routeUnknown'],
    ['/v2', '404 routeUnknown'],
    ['/v2/manifests/latest', '404 routeUnknown'],
    ['/v2/a/blobs/uploads', '404 routeUnknown'],
    ['/v2/a/blobs/nodigest', '400 digestInvalid'],
    [`/v2/a/blobs/sha256:${'A'.repeat(64)}`, '400 digestInvalid'],
    [`/v2/a/blobs/sha256:${'a'.repeat(63)}`, '400 digestInvalid'],
    ['/v2/a/manifests/-bad', '400 referenceInvalid'],
    [`/v2/a/manifests/${'a'.repeat(129)}`, '400 referenceInvalid'],
  ])('GET %s is %s', (target, expected) => {
    expect(refusal('GET', target)).toBe(expected)
  })
})

describe('an escape that changes nothing is understood', () => {
  test.each([
    [`/v2/a/blobs/sha256%3A${'a'.repeat(64)}`, `/v2/a/blobs/${digest}`],
    ['/v2/%61/t%61gs/list', '/v2/a/tags/list'],
    ['/v2/%5fcatalog', '/v2/_catalog'],
  ])('%s is printed as %s', (target, printed) => {
    expect(printTarget(parseRegistryRequest('GET', target))).toBe(printed)
  })
})

describe('the query of an upload start', () => {
  const mount = `mount=${digest}`
  test.each([
    [`from=pub/x;z=1&${mount}&from=secret/app`, '400 queryInvalid'],
    [`from=%zz&${mount}&from=secret/app`, '400 queryInvalid'],
    [`${mount}&from=a&from=b`, '400 queryInvalid'],
    [`${mount}&from=a&%66rom=b`, '400 queryInvalid'],
    [`${mount}&${mount}&from=a`, '400 queryInvalid'],
    [`${mount}&from=Secret`, '400 nameInvalid'],
    ['mount=nothing&from=a', '400 digestInvalid'],
    ['digest=nothing', '400 digestInvalid'],
    ['digest-algorithm=%20', '400 digestInvalid'],
  ])('POST ?%s is %s', (query, expected) => {
    expect(refusal('POST', `/v2/mine/a/blobs/uploads/?${query}`)).toBe(expected)
  })

  test.each([
    [`${mount}&%66rom=secret/app`, { from: 'secret/app' }],
    [`${mount}&from[]=x&FROM=y&ns=docker.io`, { from: undefined }],
    [`${mount}&from=a&origin=other.example%3A5000`, { from: 'a', origin: 'other.example:5000' }],
  ])('POST ?%s keeps the known parameters alone', (query, expected) => {
    const request = parseRegistryRequest('POST', `/v2/mine/a/blobs/uploads/?${query}`)
    expect(request).toMatchObject({ mount: { digest, ...expected } })
    expect(printTarget(request)).not.toMatch(/FROM|ns=|origin|\[/)
  })
})

describe('the query of an upload session', () => {
  test('passes byte for byte', () => {
    const target = '/v2/a/blobs/uploads/u1?_state=A%2fb+c==&x;y&%7E=~'
    expect(printTarget(parseRegistryRequest('PATCH', target))).toBe(target)
  })
  test.each(['digest=a&digest=b', 'digest=a&%64igest=b', 'digest=a;x&digest=b', 'x;digest=a&digest=b'])(
    'is refused with two digests: %s',
    (query) => {
      expect(refusal('PUT', `/v2/a/blobs/uploads/u1?${query}`)).toBe('400 queryInvalid')
    },
  )
})

describe('pages', () => {
  test.each(['-1', '1e3', '0x10', '', '01', '+5', ' 5', '1.0'])('n=%s is refused', (n) => {
    expect(refusal('GET', `/v2/_catalog?n=${encodeURIComponent(n)}`)).toBe('400 paginationInvalid')
  })
  test.each([
    ['/v2/_catalog?n=1000000000', '/v2/_catalog?n=1000'],
    ['/v2/_catalog?n=9007199254740993', '/v2/_catalog?n=1000'],
    ['/v2/_catalog?n=0', '/v2/_catalog?n=1'],
    ['/v2/a/tags/list?n=0', '/v2/a/tags/list?n=0'],
  ])('%s is printed as %s', (target, printed) => {
    expect(printTarget(parseRegistryRequest('GET', target))).toBe(printed)
  })
  test('n given twice is refused', () => {
    expect(refusal('GET', '/v2/_catalog?n=1&n=2')).toBe('400 queryInvalid')
  })
})

describe('methods', () => {
  test.each([
    ['TRACE', '/v2/', ['GET', 'HEAD']],
    ['PROPFIND', '/v2/a/tags/list', ['GET', 'HEAD']],
    ['PATCH', '/v2/a/manifests/v1', ['GET', 'HEAD', 'PUT', 'DELETE']],
    ['GET', '/v2/a/blobs/uploads/', ['POST']],
    ['OPTIONS', `/v2/a/blobs/${digest}`, ['GET', 'HEAD', 'DELETE']],
    ['get', '/v2/', ['GET', 'HEAD']],
  ])('%s %s is 405 and names the allowed ones', (method, target, allow) => {
    expect(() => parseRegistryRequest(method, target)).toThrow(expect.objectContaining({ status: 405, allow }))
  })
})

describe('properties', () => {
  const methods = fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE')
  const piece = fc.constantFrom(
    ...['v2', 'a', 'blobs', 'uploads', 'manifests', 'tags', 'list', 'referrers', '_catalog', digest, 'x_y', 'B'],
    ...[
      '%2e',
      '%2F',
      '..',
      '',
      '%61',
      'sha256%3A',
      ';',
      '?',
      '&',
      '=',
      'mount=',
      'from=a',
      'digest=',
      'n=1',
      '\\',
      '#',
    ],
  )
  const target = fc.array(piece, { maxLength: 9 }).map((pieces) => `/v2/${pieces.join('/')}`)

  test('parsing ends in a request or a RegistryError, and what was printed is read back the same', () => {
    fc.assert(
      fc.property(
        methods,
        fc.oneof(
          target,
          fc.string({ unit: 'binary' }).map((text) => `/v2/${text}`),
        ),
        (method, raw) => {
          let request
          try {
            request = parseRegistryRequest(method, raw)
          } catch (error) {
            expect(error).toBeInstanceOf(RegistryError)
            return
          }
          const printed = printTarget(request)
          expect(printed).toMatch(/^\/v2\/[!-~]*$/)
          const again = parseRegistryRequest(method, printed)
          expect(printTarget(again)).toBe(printed)
          const unprinted = request.kind === 'upload-start' && request.mount?.origin !== undefined
          if (!unprinted) expect(again).toEqual(request)
        },
      ),
      { numRuns: 20_000 },
    )
  })
})
