/** Every setting, once: type, unit, default and sentence. The types of the program are inferred from here. */
import { z } from 'zod'
import { authenticationSection } from './authentication-settings.ts'
import { authorizationSection } from './authorization-settings.ts'
import { cors } from './cors-settings.ts'
import { client, listen, publicUrl, publicUrls, tlsSection, trustedProxies } from './front-settings.ts'
import { rateLimit } from './limits-settings.ts'
import { lockout } from './lockout-settings.ts'
import { maintenance } from './maintenance-settings.ts'
import { adminSection, auditSection, errors, headers, log, shutdown } from './operation-settings.ts'
import { redisSection } from './redis-settings.ts'
import { upstreamSection } from './upstream-settings.ts'
import { plainText } from './values.ts'
import type { ResolvePath } from './values.ts'

type DeepReadonly<T> = T extends readonly (infer Item)[]
  ? readonly DeepReadonly<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> }
    : T

/** The settings after every check: paths resolved, secrets read, defaults filled in. */
export type Config = DeepReadonly<z.output<ReturnType<typeof createConfigSchema>>>

/** Creates the schema of the whole configuration file. `resolvePath` is applied to every key that names a file. */
export function createConfigSchema(resolvePath: ResolvePath) {
  const path = plainText.transform(resolvePath)
  return z
    .strictObject({
      publicUrls: publicUrls.optional(),
      publicUrl: publicUrl.optional(),
      listen,
      admin: adminSection(path),
      tls: tlsSection(path),
      upstream: upstreamSection(path),
      trustedProxies,
      authentication: authenticationSection(path),
      authorization: authorizationSection(path),
      redis: redisSection(path),
      rateLimit,
      lockout,
      client,
      shutdown,
      errors,
      headers,
      cors,
      maintenance,
      log,
      audit: auditSection(resolvePath),
    })
    .refine(({ publicUrl, publicUrls }) => publicUrl === undefined || publicUrls === undefined, {
      path: ['publicUrl'],
      error: 'publicUrl is short for a list of one in publicUrls; keep one of the two',
      when: ({ issues }) => areSound(issues, 'publicUrl', 'publicUrls'),
    })
    .refine(({ publicUrl, publicUrls }) => publicUrl !== undefined || publicUrls !== undefined, {
      path: ['publicUrls'],
      error: 'is required: the address that clients type, such as https://registry.example.org',
      when: ({ issues }) => areSound(issues, 'publicUrl', 'publicUrls'),
    })
    .refine(({ tls, trustedProxies }) => tls.enabled || trustedProxies.length > 0, {
      path: ['tls', 'enabled'],
      error: 'false is allowed only behind a proxy that terminates TLS and is named in trustedProxies',
      when: ({ issues }) => areSound(issues, 'tls', 'trustedProxies'),
    })
    .refine(({ upstream }) => upstream.redirects === 'pass' || upstream.redirectHosts.length > 0, {
      path: ['upstream', 'redirects'],
      error: 'follow needs the hosts that may be followed to in upstream.redirectHosts',
      when: ({ issues }) => areSound(issues, 'upstream'),
    })
    .refine(({ authentication: { htpasswd, ldap } }) => htpasswd.enabled || ldap.enabled, {
      path: ['authentication'],
      error: 'no way to log in is enabled; set authentication.htpasswd.enabled or authentication.ldap.enabled to true',
      when: ({ issues }) => areSound(issues, 'authentication'),
    })
    .refine(({ authentication: { htpasswd, ldap, order } }) => isOrdered({ htpasswd, ldap }, order), {
      path: ['authentication', 'order'],
      error: 'must name every backend that is enabled',
      when: ({ issues }) => areSound(issues, 'authentication'),
    })
    .refine(({ listen, admin }) => !collide(listen, admin), {
      path: ['admin', 'port'],
      error: 'is also listen.port on the same address; give each its own',
      when: ({ issues }) => areSound(issues, 'listen', 'admin'),
    })
    .refine(({ listen, admin }) => !redirectCollides(listen, admin), {
      path: ['listen', 'redirectFrom', 'port'],
      error: 'is also listen.port or admin.port on the same address; give each its own',
      when: ({ issues }) => areSound(issues, 'listen', 'admin'),
    })
    .transform(({ publicUrl, publicUrls, ...rest }) => ({
      ...rest,
      publicUrls: publicUrls ?? (publicUrl === undefined ? [] : [publicUrl]),
    }))
}

/** A rule over several sections runs only where those sections hold: other faults must not hide its own. */
function areSound(issues: readonly z.core.$ZodRawIssue[], ...sections: readonly string[]): boolean {
  return issues.every(({ code, path = [] }) => {
    const [section] = path
    return section === undefined ? code === 'unrecognized_keys' : !sections.includes(String(section))
  })
}

type Endpoint = { readonly host: string; readonly port: number }

function collide(one: Endpoint, other: Endpoint): boolean {
  const everywhere = ['0.0.0.0', '::']
  const sameHost = one.host === other.host || everywhere.includes(one.host) || everywhere.includes(other.host)
  return one.port !== 0 && one.port === other.port && sameHost
}

function redirectCollides(
  { redirectFrom, ...listen }: Endpoint & { readonly redirectFrom: Endpoint | { readonly enabled: false } },
  admin: Endpoint,
): boolean {
  return 'port' in redirectFrom && (collide(redirectFrom, listen) || collide(redirectFrom, admin))
}

function isOrdered(
  backends: Readonly<Record<'htpasswd' | 'ldap', { enabled: boolean }>>,
  order: readonly string[],
): boolean {
  return Object.entries(backends).every(([name, { enabled }]) => !enabled || order.includes(name))
}
