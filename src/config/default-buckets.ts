/**
 * The buckets of a configuration that names none: for a company of 500 people with their build machines, nobody of whom
 * should ever meet them but whoever runs wild. Only whole pulls and pushes are counted, never bytes or transfers, whose
 * refusal comes in the middle of a pull.
 */
export const defaultBuckets = [
  { name: 'pulls-per-user', scope: 'user', class: 'pull', quota: 5_000, windowSeconds: 3_600, anonymous: false },
  { name: 'anonymous-pulls', scope: 'address', class: 'pull', quota: 1_000, windowSeconds: 3_600, anonymous: 'only' },
  { name: 'pushes-per-user', scope: 'user', class: 'push', quota: 1_000, windowSeconds: 3_600 },
  { name: 'listings-per-user', scope: 'user', class: 'api', quota: 6_000, windowSeconds: 600 },
  { name: 'requests-per-user', scope: 'user', class: 'requests', quota: 60_000, windowSeconds: 600 },
  { name: 'logins-per-address', scope: 'address', class: 'login', quota: 600, windowSeconds: 60 },
] as const
