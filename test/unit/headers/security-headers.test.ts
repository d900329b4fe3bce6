import { describe, expect, test } from '@jest/globals'
import { createSecurityHeaders } from '../../../src/headers/security-headers.ts'

const settings = { hstsMaxAgeSeconds: 31_536_000, hstsIncludeSubDomains: false, publicHosts: ['registry.example.org'] }

function hsts(over: Partial<typeof settings>): string | undefined {
  return createSecurityHeaders({ ...settings, ...over }).find(([name]) => name === 'strict-transport-security')?.[1]
}

describe('HSTS', () => {
  test.each([
    ['a public host', {}, 'max-age=31536000'],
    ['subdomains by choice', { hstsIncludeSubDomains: true }, 'max-age=31536000; includeSubDomains'],
    ['one public host among local ones', { publicHosts: ['localhost', 'registry.example.org'] }, 'max-age=31536000'],
    ['off', { hstsMaxAgeSeconds: 0 }, undefined],
    ['localhost', { publicHosts: ['localhost'] }, undefined],
    ['a name below localhost', { publicHosts: ['registry.localhost'] }, undefined],
    ['IPv4 loopback', { publicHosts: ['127.0.0.53'] }, undefined],
    ['IPv6 loopback', { publicHosts: ['[::1]'] }, undefined],
  ])('for %s', (_name, over, expected) => {
    expect(hsts(over)).toBe(expected)
  })
})

test('the headers of an API that nothing should render are always there', () => {
  expect(Object.fromEntries(createSecurityHeaders(settings))).toMatchObject({
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'content-security-policy': expect.stringContaining("default-src 'none'"),
    'referrer-policy': 'no-referrer',
  })
})
