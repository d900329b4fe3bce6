import { isIP } from 'node:net'
import type { ServerResponse } from 'node:http'

export type SecurityHeaderSettings = {
  /** `max-age` of HSTS in seconds; 0 sends none. */
  readonly hstsMaxAgeSeconds: number
  readonly hstsIncludeSubDomains: boolean
  /** Host names of the public URLs; HSTS is not sent when all of them are of this machine only. */
  readonly publicHosts: readonly string[]
}

/** Headers for every answer, errors and health checks included; names in lower case. */
export type SecurityHeaders = readonly (readonly [name: string, value: string])[]

/**
 * The security headers of an API that no browser should render, frame or guess the type of: RFC 6797 (HSTS), the Fetch
 * standard (nosniff, CORP), CSP 3. HSTS on localhost would force https on every other service of that machine.
 */
export function createSecurityHeaders(settings: SecurityHeaderSettings): SecurityHeaders {
  const headers: [string, string][] = [
    ['x-content-type-options', 'nosniff'],
    ['x-frame-options', 'DENY'],
    ['content-security-policy', "default-src 'none'; frame-ancestors 'none'"],
    ['referrer-policy', 'no-referrer'],
  ]
  const { hstsMaxAgeSeconds: maxAge, hstsIncludeSubDomains: subDomains } = settings
  if (maxAge > 0 && settings.publicHosts.some((host) => !isLocal(host))) {
    headers.push(['strict-transport-security', `max-age=${maxAge}${subDomains ? '; includeSubDomains' : ''}`])
  }
  return headers
}

export function applyHeaders(res: ServerResponse, headers: SecurityHeaders): void {
  for (const [name, value] of headers) res.setHeader(name, value)
}

function isLocal(host: string): boolean {
  const name = host.replace(/^\[|\]$/g, '').toLowerCase()
  if (isIP(name) === 4) return name.startsWith('127.')
  return name === '::1' || name === 'localhost' || name.endsWith('.localhost')
}
