import { describe, expect, test } from '@jest/globals'
import { actionOf, actions, isWrite, mountAccess, requiredAccess } from '../../../src/registry/access.ts'
import { parseRegistryRequest } from '../../../src/registry/route.ts'

const digest = `sha256:${'a'.repeat(64)}`

function request(line: string) {
  const [method = '', target = ''] = line.split(' ')
  return parseRegistryRequest(method, target)
}

const any = { kind: 'any' }
const named = (...tags: readonly string[]) => ({ kind: 'named', tags })

test('the actions of a policy', () => {
  expect(actions).toEqual(['pull', 'push', 'delete', 'list', 'overwrite'])
})

describe('the access that a request needs', () => {
  test.each<readonly [string, readonly string[], unknown]>([
    ['GET /v2/a/manifests/v1', ['pull'], named('v1')],
    ['HEAD /v2/a/manifests/v1', ['pull', 'push'], named('v1')],
    ['PUT /v2/a/manifests/v1', ['push'], named('v1')],
    ['DELETE /v2/a/manifests/v1', ['delete'], named('v1')],
    [`GET /v2/a/manifests/${digest}`, ['pull'], undefined],
    [`HEAD /v2/a/manifests/${digest}`, ['pull', 'push'], undefined],
    [`PUT /v2/a/manifests/${digest}`, ['push'], undefined],
    [`PUT /v2/a/manifests/${digest}?tag=x&tag=y`, ['push'], named('x', 'y')],
    [`DELETE /v2/a/manifests/${digest}`, ['delete'], any],
    [`GET /v2/a/blobs/${digest}`, ['pull'], undefined],
    [`HEAD /v2/a/blobs/${digest}`, ['pull', 'push'], undefined],
    [`DELETE /v2/a/blobs/${digest}`, ['delete'], any],
    ['GET /v2/a/tags/list', ['pull'], undefined],
    [`GET /v2/a/referrers/${digest}`, ['pull'], undefined],
    ['POST /v2/a/blobs/uploads/', ['push'], undefined],
    ['GET /v2/a/blobs/uploads/u', ['push'], undefined],
    ['PATCH /v2/a/blobs/uploads/u', ['push'], undefined],
    ['PUT /v2/a/blobs/uploads/u', ['push'], undefined],
    ['DELETE /v2/a/blobs/uploads/u', ['push'], undefined],
  ])('%s needs one of %j', (line, anyOf, tags) => {
    const expected = { type: 'repository', name: 'a', anyOf, ...(tags === undefined ? {} : { tags }) }
    expect(requiredAccess(request(line))).toStrictEqual([expected])
    expect(actionOf(request(line))).toBe(anyOf[0])
  })
  test.each([
    ['GET /v2/', { type: 'registry', name: 'base', anyOf: ['ping'] }],
    ['GET /v2/_catalog', { type: 'registry', name: 'catalog', anyOf: ['list'] }],
  ])('%s is asked of the registry', (line, access) => {
    expect(requiredAccess(request(line))).toStrictEqual([access])
  })
})

describe('a mount', () => {
  const mount = `mount=${encodeURIComponent(digest)}`
  test.each([
    [`POST /v2/a/blobs/uploads/?${mount}&from=b/c`, { type: 'repository', name: 'b/c', anyOf: ['pull'] }],
    [`POST /v2/a/blobs/uploads/?${mount}`, undefined],
    ['POST /v2/a/blobs/uploads/', undefined],
    ['GET /v2/a/tags/list', undefined],
  ])('%s needs of its source %j', (line, access) => {
    expect(mountAccess(request(line))).toStrictEqual(access)
  })
})

test.each([
  ['GET /v2/a/tags/list', false],
  ['HEAD /v2/a/tags/list', false],
  ['GET /v2/a/blobs/uploads/u', false],
  ['POST /v2/a/blobs/uploads/', true],
  ['PATCH /v2/a/blobs/uploads/u', true],
  ['PUT /v2/a/manifests/v1', true],
  ['DELETE /v2/a/manifests/v1', true],
])('%s changes the registry: %s', (line, expected) => {
  expect(isWrite(request(line))).toBe(expected)
})
