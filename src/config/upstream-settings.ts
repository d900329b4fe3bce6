/** The settings of the side that the registry sees. */
import { z } from 'zod'
import { basicUserName, hostAndPort, httpOrigin, key, milliseconds, plainText, whenAbsent } from './values.ts'
import type { PathSchema } from './values.ts'

const credential = key(
  z.strictObject({
    username: key(basicUserName, 'User name of the gateway at the registry.', { kind: 'text' }),
    password: key(plainText, 'Password of the gateway at the registry.', { kind: 'text', secret: true }),
  }),
  'How the gateway logs in to the registry (HTTP Basic). The credentials of clients are never sent there.',
  { unset: 'no login' },
)

const timeouts = key(
  z
    .strictObject({
      connectMs: key(milliseconds.default(5_000), 'Until a connection stands, TLS included.', { unit: 'ms' }),
      headersMs: key(milliseconds.default(60_000), 'Until the answer begins, counted from the end of the request.', {
        unit: 'ms',
      }),
      commitHeadersMs: key(
        milliseconds.default(900_000),
        'The same for the PUT that commits a blob: registries hash and move the whole blob before they answer.',
        { unit: 'ms' },
      ),
      inactivityMs: key(
        milliseconds.default(60_000),
        'Silence of the registry in the middle of a body. There is no limit on the duration of a transfer.',
        { unit: 'ms' },
      ),
      keepAliveMs: key(
        milliseconds.default(30_000),
        'How long after it was opened a connection is kept for further requests: at the latest then, a registry whose ' +
          'name points to another address is found there.',
        { unit: 'ms' },
      ),
    })
    .prefault({}),
  'How long the registry may take.',
)

export function upstreamSection(path: PathSchema) {
  return key(
    whenAbsent(
      z.strictObject({
        url: key(httpOrigin, 'The registry behind the gateway: scheme, host and perhaps a port.', {
          kind: 'http or https origin',
          samples: ['http://127.0.0.1:5000'],
        }),
        redirects: key(
          z.enum(['pass', 'follow']).default('pass'),
          'What happens when the registry redirects a download to its storage: `pass` gives an https address to the ' +
            'client, `follow` fetches from `redirectHosts` and streams through the gateway.',
        ),
        redirectHosts: key(
          whenAbsent(z.array(hostAndPort), []),
          'The hosts that a redirect may point to. Required for `follow`; with `pass`, empty means any host.',
          { kind: 'list of host or host:port', samples: [['storage.example.org']] },
        ),
        caFile: key(path.optional(), 'PEM file with the authorities that may vouch for an https registry.', {
          kind: 'path',
          unset: 'the authorities that Node.js trusts',
        }),
        credential: credential.optional(),
        timeouts,
      }),
      {},
    ),
    'The registry behind the gateway.',
  )
}
