/** The settings of the guard against guessed passwords. */
import { z } from 'zod'
import { feature, key, network, whenAbsent } from './values.ts'
import type { Network } from './values.ts'

/** The settings after every check, with their defaults. */
export type LockoutSettings =
  | { readonly enabled: false }
  | {
      readonly enabled: true
      readonly freeAttempts: number
      readonly freeAttemptsPerAddress: number
      readonly windowSeconds: number
      readonly maxDelaySeconds: number
      readonly exemptAddresses: readonly Network[]
    }

export const lockout = feature(
  'The guard against guessed passwords: after wrong ones a client’s address has to wait, each time twice as long, before another is checked.',
  true,
  'Whether wrong passwords make an address wait. Logins that are remembered never wait.',
  {
    freeAttempts: key(
      z.int().min(1).max(1_000).default(5),
      'Different wrong passwords for one user from one address before the first wait, which is a second. The same one again is not counted.',
    ),
    freeAttemptsPerAddress: key(
      z.int().min(1).max(1_000_000).default(50),
      'The same for all users of an address together; the address of IPv6 is its /64.',
    ),
    windowSeconds: key(
      z.int().min(1).max(86_400).default(900),
      'How long after the last wrong password and its wait all of them are forgotten.',
      { unit: 's' },
    ),
    maxDelaySeconds: key(z.int().min(1).max(86_400).default(900), 'The longest wait.', { unit: 's' }),
    exemptAddresses: key(
      whenAbsent(z.array(network), []),
      'Addresses that never wait, such as the one that a company’s network has from outside; wrong passwords from there are not counted.',
      { kind: 'list of CIDR ranges', samples: [['192.0.2.7', '2001:db8::/32']] },
    ),
  },
)
