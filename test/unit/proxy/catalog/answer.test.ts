import { describe, expect, test } from '@jest/globals'
import { catalogAnswer } from '../../../../src/proxy/catalog/answer.ts'
import { RegistryError } from '../../../../src/registry/error.ts'
import { parseRegistryRequest } from '../../../../src/registry/route.ts'
import { repository } from './names.ts'

const names = [repository('alice/app'), repository('alice/tools')]

describe('the answer to a catalog request', () => {
  test('is the JSON of the registry, with its length', () => {
    const { status, headers, text } = catalogAnswer({ kind: 'page', names, next: undefined }, 100)
    expect([status, JSON.parse(text)]).toEqual([200, { repositories: ['alice/app', 'alice/tools'] }])
    expect(Object.fromEntries(headers)).toEqual({
      'content-type': 'application/json',
      'content-length': String(text.length),
    })
  })

  test('is an empty list, not null, where nothing may be seen', () => {
    expect(catalogAnswer({ kind: 'page', names: [], next: undefined }, 100).text).toBe('{"repositories":[]}\n')
  })

  test('links to the next page with a path of its own, which leads to what it says', () => {
    const link = catalogAnswer({ kind: 'page', names, next: repository('alice/tools') }, 2).headers.get('link') ?? ''
    expect(link).toBe('</v2/_catalog?last=alice%2Ftools&n=2>; rel="next"')
    expect(parseRegistryRequest('GET', link.slice(1, link.indexOf('>')))).toEqual({
      kind: 'catalog',
      method: 'GET',
      page: { n: 2, last: 'alice/tools' },
    })
  })
})

describe('a catalog that has nothing to show yet', () => {
  test('is 503 with Retry-After', () => {
    const answer = (): unknown => catalogAnswer({ kind: 'cold', retryAfterSeconds: 7, failure: undefined }, 100)
    expect(answer).toThrow(
      expect.objectContaining({ id: 'catalogCold', status: 503, code: 'UNAVAILABLE', retryAfterSeconds: 7 }),
    )
  })

  test('tells why the last attempt failed', () => {
    const failure = new RegistryError('upstreamUnreachable')
    expect(() => catalogAnswer({ kind: 'cold', retryAfterSeconds: 7, failure }, 100)).toThrow(
      expect.objectContaining({
        detail: 'the last attempt failed: the registry behind this gateway cannot be reached',
        cause: failure,
      }),
    )
  })
})
