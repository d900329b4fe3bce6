/** How a user can prove who they are; a closed set, used by policy conditions, audit and metrics. */
export const authenticationMethods = ['htpasswd', 'ldap'] as const

export type AuthenticationMethod = (typeof authenticationMethods)[number]

/**
 * Who is calling. `name` is canonical: the same string for policy, limits, audit and caches.
 */
export type Principal =
  | {
      readonly kind: 'user'
      readonly name: string
      readonly groups: readonly string[]
      readonly method: AuthenticationMethod
    }
  | { readonly kind: 'anonymous' }

export const anonymous: Principal = { kind: 'anonymous' }
