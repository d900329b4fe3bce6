/** The settings of running it: what the operator sees, and how it ends. */
import { z } from 'zod'
import { feature, key, listenHost, plainText, port } from './values.ts'
import type { PathSchema, ResolvePath } from './values.ts'

export function adminSection(path: PathSchema) {
  return key(
    z
      .strictObject({
        host: key(
          listenHost.prefault('127.0.0.1'),
          'The address to listen on. There is no login on this port: keep it away from the public network.',
          { kind: 'address' },
        ),
        port: key(port.default(9090), 'The port to listen on; 0 lets the system choose.'),
        socket: key(
          path.prefault('/run/wharfgate/admin.sock'),
          'Unix socket (mode 0600) for what changes state: `wharfgate reload` speaks to it. Where it cannot be made, the ' +
            'gateway says so and runs without.',
          { kind: 'path' },
        ),
      })
      .prefault({}),
    'Metrics and health for the operator: `/metrics`, `/livez`, `/readyz`, `/startupz`.',
  )
}

export const shutdown = key(
  z
    .strictObject({
      delayMs: key(
        z.int().min(0).max(60_000).default(0),
        'How long new connections are still taken after SIGTERM, while `/readyz` already says 503. A load balancer ' +
          'that needs time to notice wants some seconds; without one they are lost time, so the default is none.',
        { unit: 'ms' },
      ),
      timeoutSeconds: key(
        z.int().min(0).max(86_400).default(300),
        'How long transfers in flight may take to end after that; what is left is then cut off.',
        { unit: 's' },
      ),
    })
    .prefault({}),
  'What happens on SIGTERM and SIGINT.',
)

export const errors = key(
  z
    .strictObject({
      reasonPhrase: key(
        z.boolean().default(true),
        'Whether the status line of an error says more than the standard words; some clients show nothing else.',
      ),
    })
    .prefault({}),
  'How errors are told.',
)

export const headers = key(
  z
    .strictObject({
      hstsMaxAgeSeconds: key(
        z.int().min(0).max(315_360_000).default(31_536_000),
        '`max-age` of `Strict-Transport-Security`; 0 leaves the header out. It is never sent for localhost.',
        { unit: 's' },
      ),
      hstsIncludeSubDomains: key(
        z.boolean().default(false),
        'Whether it also speaks for every subdomain, which binds hosts that are not this gateway.',
      ),
    })
    .prefault({}),
  'Security headers of every answer.',
)

export const log = key(
  z
    .strictObject({
      level: key(z.enum(['trace', 'debug', 'info', 'warn', 'error']).default('info'), 'The least that is logged.'),
    })
    .prefault({}),
  'The log, JSON lines on standard error.',
)

export function auditSection(resolvePath: ResolvePath) {
  const verdict = z.enum(['block', 'allow'])
  const destination = plainText.transform((text) => (text === 'stdout' ? text : resolvePath(text)))
  return feature('One line for every exchange: who did what, and how it ended.', true, 'Whether it is written.', {
    destination: key(destination.prefault('stdout'), '`stdout`, or the file that lines are appended to.', {
      kind: '`stdout` or path',
    }),
    onFailure: key(
      z
        .strictObject({
          writes: key(
            verdict.default('block'),
            'Pushes, deletes and everything else that changes the registry: `block` answers 503.',
          ),
          reads: key(
            verdict.default('allow'),
            'Pulls and everything else that changes nothing: `allow` lets them through and counts what is lost.',
          ),
        })
        .prefault({}),
      'What happens to requests that come while the audit cannot be written.',
    ),
  })
}
