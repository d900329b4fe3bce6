/** The settings of who is calling. */
import { z } from 'zod'
import { ldapSection } from './ldap-settings.ts'
import { feature, key, milliseconds } from './values.ts'
import type { PathSchema } from './values.ts'

export function authenticationSection(path: PathSchema) {
  return key(
    z
      .strictObject({
        htpasswd: feature(
          'Users in a file of Apache’s `htpasswd` format, bcrypt only.',
          false,
          'Whether these users can log in.',
          {
            file: key(
              path.prefault('htpasswd'),
              'The file, one `name:hash` per line; `wharfgate hash-password` makes a line.',
              { kind: 'path' },
            ),
          },
        ),
        ldap: ldapSection(path),
        order: key(
          z
            .array(z.enum(['htpasswd', 'ldap']))
            .min(1)
            .refine((names) => new Set(names).size === names.length, 'must name each backend once')
            .default(['htpasswd', 'ldap']),
          'Which of them is asked first. A name belongs to the first that knows it: another password is then wrong, ' +
            'whatever the next would say.',
          { kind: 'list of `htpasswd` and `ldap`' },
        ),
        anonymous: feature(
          'Clients without a login, for what policies allow to `anonymous`. `GET /v2/` still asks for a login, so that every client sends the one it has.',
          false,
          'Whether a request without a login is decided by the policies, instead of being asked for one.',
          {},
        ),
        credentialCacheTtlSeconds: key(
          z.int().min(0).max(300).default(60),
          'How long a login that succeeded is remembered (in memory, keyed), so that not every request costs a hash; 0 is never.',
          { unit: 's' },
        ),
        failureFloorMs: key(
          z.int().min(0).max(10_000).default(500),
          'Every failed login takes at least this long, so that its duration tells nothing about the user.',
          { unit: 'ms' },
        ),
        maxConcurrentHashes: key(z.int().min(1).max(1_024).optional(), 'Passwords that are hashed at one time.', {
          unset: 'one less than the processors, at least 1',
        }),
        maxQueuedHashes: key(
          z.int().min(0).max(100_000).default(64),
          'Logins that may wait for their turn; further ones get 503 and are asked to try again.',
        ),
        maxQueueWaitMs: key(milliseconds.default(2_000), 'How long a login may wait for its turn before it gets 503.', {
          unit: 'ms',
        }),
      })
      .prefault({}),
    'Who is calling. At least one way to log in must be enabled.',
  )
}
