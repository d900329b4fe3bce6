import { describe, expect, test } from '@jest/globals'
import { clientResponseHeaders } from '../../../src/proxy/response-headers.ts'
import { parseRegistryRequest } from '../../../src/registry/route.ts'

const digest = `sha256:${'a'.repeat(64)}`
const startUpload = parseRegistryRequest('POST', '/v2/alice/app/blobs/uploads/')
const patchUpload = parseRegistryRequest('PATCH', '/v2/alice/app/blobs/uploads/first-session?_state=old')
const getBlob = parseRegistryRequest('GET', `/v2/alice/app/blobs/${digest}`)
const listTags = parseRegistryRequest('GET', '/v2/alice/app/tags/list?n=1')
const listCatalog = parseRegistryRequest('GET', '/v2/_catalog?n=1')

describe('the Location of an upload', () => {
  const path = '/v2/alice/app/blobs/uploads/next-session'
  /** Whatever the upstream may have put into it: it is its own and comes back byte for byte. */
  const state = '_state=aB%3D%3d+/~%20&x=1&x=2&&y=%zz;%C3%A4'

  test.each([
    ['absolute over http', `http://127.0.0.1:5000${path}?${state}`],
    ['absolute over https', `https://registry.internal${path}?${state}`],
    ['of another host', `http://evil.example:81${path}?${state}`],
    ['with user information', `http://alice:secret@registry.internal${path}?${state}`],
    ['in upper case', `HTTP://REGISTRY.INTERNAL${path}?${state}`],
    ['relative to the scheme', `//registry.internal${path}?${state}`],
    ['an absolute path', `${path}?${state}`],
    ['with a fragment', `${path}?${state}#fragment`],
  ])('%s becomes an absolute path with the same query', (_title, location) => {
    expect(clientResponseHeaders({ location }, 202, patchUpload).get('location')).toBe(`${path}?${state}`)
  })

  test('that is a name beside the last one is resolved against the request', () => {
    const headers = clientResponseHeaders({ location: `next-session?${state}` }, 202, patchUpload)
    expect(headers.get('location')).toBe(`${path}?${state}`)
    expect(clientResponseHeaders({ location: 'next-session' }, 202, startUpload).get('location')).toBe(path)
  })

  test('that is a query only stays with the session of the request', () => {
    const headers = clientResponseHeaders({ location: `?${state}` }, 202, patchUpload)
    expect(headers.get('location')).toBe(`/v2/alice/app/blobs/uploads/first-session?${state}`)
  })

  test('in another repository that only ends like this one is refused', () => {
    const location = '/v2/mallory/alice/app/blobs/uploads/next-session'
    expect(() => clientResponseHeaders({ location }, 202, patchUpload)).toThrow(
      expect.objectContaining({ id: 'upstreamInvalid' }),
    )
  })

  test.each([
    ['another repository', '/v2/bob/app/blobs/uploads/next-session'],
    ['no path of the registry API', '/uploads/next-session'],
    ['a path that could be read in two ways', '/v2/alice/app/blobs/uploads/..%2f..%2fsecret'],
    ['dot segments', '/v2/alice/app/blobs/uploads/../../../bob/app/blobs/uploads/x'],
    ['nothing', ''],
  ])('that names %s is refused on a 202, where the client needs it', (_title, location) => {
    expect(() => clientResponseHeaders({ location }, 202, patchUpload)).toThrow(
      expect.objectContaining({ id: 'upstreamInvalid' }),
    )
  })

  test('that cannot be expressed is left out of a 201, where nobody needs it', () => {
    const headers = clientResponseHeaders({ location: 'https://cdn.example/blob' }, 201, patchUpload)
    expect(headers.has('location')).toBe(false)
  })

  test('of a blob that was made is an absolute path as well', () => {
    const location = `http://127.0.0.1:5000/v2/alice/app/blobs/${digest}`
    expect(clientResponseHeaders({ location }, 201, patchUpload).get('location')).toBe(`/v2/alice/app/blobs/${digest}`)
  })

  test('of a redirect is not this function’s affair', () => {
    expect(clientResponseHeaders({ location: 'https://cdn.example/blob' }, 307, getBlob).has('location')).toBe(false)
  })
})

describe('the Link of a listing', () => {
  test.each([
    ['absolute', '<http://127.0.0.1:5000/v2/alice/app/tags/list?last=1.0&n=1>; rel="next"'],
    ['of another host', '<https://evil.example/v2/alice/app/tags/list?n=1&last=1.0>; rel="next"'],
    ['an absolute path', '</v2/alice/app/tags/list?last=1.0&n=1>; rel="next"'],
    ['without quotes', '</v2/alice/app/tags/list?last=1.0&n=1>;rel=next'],
  ])('%s becomes an absolute path', (_title, link) => {
    expect(clientResponseHeaders({ link }, 200, listTags).get('link')).toBe(
      '</v2/alice/app/tags/list?n=1&last=1.0>; rel="next"',
    )
  })

  test('of the catalog keeps its place', () => {
    const link = '</v2/_catalog?last=alice%2Fapp&n=1>; rel="next"'
    expect(clientResponseHeaders({ link }, 200, listCatalog).get('link')).toBe(
      '</v2/_catalog?n=1&last=alice%2Fapp>; rel="next"',
    )
  })

  test.each([
    ['without a place to go on from', '</v2/_catalog?n=1>; rel="next"'],
    ['to something else than a listing', `</v2/alice/app/blobs/${digest}>; rel="next"`],
    ['of another relation', '</v2/_catalog?last=a>; rel="prev"'],
    ['that is not a link', 'javascript:alert(1)'],
  ])('%s is left out', (_title, link) => {
    expect(clientResponseHeaders({ link }, 200, listCatalog).has('link')).toBe(false)
  })
})

describe('the other headers', () => {
  test('of content pass', () => {
    const headers = {
      'content-type': 'application/octet-stream',
      'content-length': '5',
      'content-range': 'bytes 0-4/10',
      'accept-ranges': 'bytes',
      etag: '"x"',
      'docker-content-digest': digest,
      'docker-upload-uuid': 'x',
      'oci-subject': digest,
      'oci-filters-applied': 'artifactType',
    }
    expect(Object.fromEntries(clientResponseHeaders(headers, 206, getBlob))).toEqual(headers)
  })

  test('of the connection, of the upstream itself and of its own logins do not', () => {
    const headers = {
      connection: 'x-secret',
      'x-secret': '1',
      'keep-alive': 'timeout=5',
      'transfer-encoding': 'chunked',
      'set-cookie': ['session=1'],
      'www-authenticate': 'Basic realm="registry"',
      server: 'nginx',
      'alt-svc': 'h3=":443"',
      'access-control-allow-origin': '*',
      'strict-transport-security': 'max-age=1',
      'docker-distribution-api-version': 'registry/2.0',
    }
    expect([...clientResponseHeaders(headers, 200, getBlob)]).toEqual([])
  })
})
