import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { RegistryError } from '../../../src/registry/error.ts'
import { parseRegistryRequest } from '../../../src/registry/route.ts'
import { auditFields, auditLine, auditReference } from '../../../src/telemetry/audit-line.ts'
import { exchange } from './samples.ts'

const digest = `sha256:${'a'.repeat(64)}`

describe('an audit line', () => {
  test('tells who did what, on what ground, and how it ended', () => {
    expect(auditLine(exchange())).toEqual({
      time: '2026-01-02T03:04:05.067Z',
      requestId: '0f9a',
      user: 'alice',
      groups: ['developers'],
      anonymous: false,
      authentication: 'htpasswd',
      attemptedUser: null,
      clientAddress: '192.0.2.7',
      userAgent: 'docker/28.1.1',
      method: 'GET',
      route: 'manifest',
      path: null,
      action: 'pull',
      repository: 'team/app',
      reference: 'latest',
      digest: null,
      tags: null,
      mountFrom: null,
      mountOrigin: null,
      required: ['repository:team/app:pull'],
      policy: 'authenticated-users-only',
      policyGeneration: 0,
      decision: 'granted',
      rule: null,
      shadowDecision: null,
      mountRemoved: false,
      protectedTags: null,
      bucket: null,
      status: 200,
      errorId: null,
      bytesUp: 0,
      bytesDown: 1234,
      durationMs: 12.3,
      outcome: 'complete',
    })
  })

  test('has its documented fields in the documented order, in every case', () => {
    const fields = Object.keys(auditFields)
    expect(Object.keys(auditLine(exchange()))).toEqual(fields)
    const bare = exchange({ request: undefined, principal: undefined, decision: undefined, status: undefined })
    expect(Object.keys(auditLine(bare))).toEqual(fields)
    expect(Object.values(auditLine(bare))).not.toContain(undefined)
  })

  test('of a refused target has its path without the query, and no user', () => {
    const error = new RegistryError('nameInvalid')
    const refused = { request: undefined, principal: undefined, decision: undefined, status: 400, error }
    expect(auditLine(exchange({ ...refused, path: '/v2/Team/APP/tags/list' }))).toMatchObject({
      route: 'other',
      path: '/v2/Team/APP/tags/list',
      user: null,
      required: null,
      decision: 'none',
      status: 400,
      errorId: 'nameInvalid',
    })
  })

  test('names the user whose login failed, and no name that nobody has', () => {
    const failed = { principal: undefined, decision: undefined, status: 401 }
    const known = new RegistryError('credentialsInvalid', { attemptedUser: 'bob' })
    expect(auditLine(exchange({ ...failed, error: known }))).toMatchObject({ user: null, attemptedUser: 'bob' })
    const unknown = new RegistryError('credentialsInvalid')
    expect(auditLine(exchange({ ...failed, error: unknown }))).toMatchObject({ user: null, attemptedUser: null })
  })

  test('of a connection that broke before a response has no status', () => {
    const broken = auditLine(exchange({ status: undefined, outcome: 'aborted-by-client' }))
    expect(broken).toMatchObject({ status: null, outcome: 'aborted-by-client' })
  })

  test.each([
    ['GET', `/v2/a/b/blobs/${digest}`, { route: 'blob', repository: 'a/b', digest }],
    ['GET', '/v2/a/b/tags/list', { route: 'tags', repository: 'a/b' }],
    ['GET', '/v2/', { route: 'base', action: 'ping', repository: null }],
    ['GET', '/v2/_catalog', { route: 'catalog', action: 'list', repository: null }],
    ['HEAD', `/v2/a/manifests/latest`, { route: 'manifest', action: 'pull' }],
    ['DELETE', `/v2/a/blobs/${digest}`, { route: 'blob', action: 'delete' }],
    ['GET', `/v2/a/referrers/${digest}`, { route: 'referrers', repository: 'a', digest }],
    ['PUT', `/v2/a/manifests/${digest}?tag=v1&tag=v2`, { reference: digest, digest, tags: ['v1', 'v2'] }],
    [
      'POST',
      `/v2/a/blobs/uploads/?mount=${digest}&from=other/b`,
      { action: 'push', digest, mountFrom: 'other/b', mountOrigin: null },
    ],
    [
      'POST',
      `/v2/a/blobs/uploads/?mount=${digest}&from=b&origin=r.example:5000`,
      { mountFrom: 'b', mountOrigin: 'r.example:5000' },
    ],
    ['POST', `/v2/a/blobs/uploads/?mount=${digest}&from=b&origin=a%E2%80%AEb`, { mountOrigin: 'ab' }],
    ['POST', `/v2/a/blobs/uploads/?digest=${digest}`, { digest, mountFrom: null }],
    ['PATCH', '/v2/a/blobs/uploads/session-canary?_state=canary', { route: 'upload-session', repository: 'a' }],
  ])('%s %s names its subject', (method, target, expected) => {
    const line = auditLine(exchange({ method, request: parseRegistryRequest(method, target) }))
    expect(line).toMatchObject(expected)
    expect(JSON.stringify(line)).not.toContain('canary')
  })

  test('joins the actions of which one is enough', () => {
    const required = [{ type: 'repository', name: 'a', anyOf: ['pull', 'push'] }] as const
    const decision = {
      kind: 'refused',
      policy: 'p',
      policyGeneration: 0,
      required,
      rule: undefined,
      shadowDecision: undefined,
      mountRemoved: false,
      protectedTags: [],
    } as const
    expect(auditLine(exchange({ decision }))).toMatchObject({
      required: ['repository:a:pull|push'],
      decision: 'refused',
    })
  })

  test('names the tags that a push might create but not move', () => {
    const { decision } = exchange()
    const protectedTags = ['v1', 'v2']
    expect(auditLine(exchange({ decision: decision && { ...decision, protectedTags } }))).toMatchObject({
      protectedTags,
    })
    expect(auditLine(exchange({ decision: undefined }))).toMatchObject({ protectedTags: null })
  })

  test('calls only a granted request without a user anonymous', () => {
    const principal = { kind: 'anonymous' } as const
    const { decision } = exchange()
    expect(auditLine(exchange({ principal }))).toMatchObject({ user: null, anonymous: true })
    expect(auditLine(exchange({ principal, decision: decision && { ...decision, kind: 'refused' } }))).toMatchObject({
      anonymous: false,
    })
  })

  test('cannot be forged or blown up by what a client sends', () => {
    const wild = exchange({
      request: undefined,
      method: `GET\n{"user":"mallory"}${'M'.repeat(9_000)}`,
      path: `/v2/\r\n{"user":"mallory"}${'p'.repeat(9_000)}`,
      userAgent: `\u001b[31m\n"}\n{"user":"mallory"}${'u'.repeat(9_000)}`,
    })
    const text = JSON.stringify(auditLine(wild))
    expect(text).not.toMatch(/\\n|\\r|\\u00/)
    expect(JSON.parse(text)).toMatchObject({ user: 'alice' })
    expect(text.length).toBeLessThan(4096)
  })
})

test('docs/reference/audit.md is what the sources say', () => {
  const file = join(import.meta.dirname, '../../../docs/reference/audit.md')
  expect(readFileSync(file, 'utf8')).toBe(auditReference())
})
