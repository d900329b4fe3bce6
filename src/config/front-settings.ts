/** The settings of the side that clients see. */
import { z } from 'zod'
import { feature, key, listenHost, milliseconds, network, port, publicOrigin, whenAbsent } from './values.ts'
import type { PathSchema } from './values.ts'

export const publicUrl = key(publicOrigin, 'Short for `publicUrls` with one address.', {
  kind: 'https origin',
  samples: ['https://registry.example.org'],
})

export const publicUrls = key(
  z.array(publicOrigin).min(1),
  'The addresses that clients type, scheme and host and perhaps a port. Challenges name the one that matches the ' +
    'Host of the request, else the first. `http://` is only for a loopback host.',
  {
    kind: 'list of https origins',
    unset: 'required, unless `publicUrl` is given',
    samples: [['https://registry.example.org']],
  },
)

const proxyProtocol = key(
  z
    .strictObject({
      from: key(
        whenAbsent(z.array(network), []),
        'The load balancers that send a PROXY protocol header, version 1 or 2, in front of each connection. ' +
          'Connections from these addresses must begin with one, all others must not.',
        { kind: 'list of CIDR ranges', samples: [['10.0.0.0/8']] },
      ),
    })
    .prefault({}),
  'The real address of a client behind a TCP load balancer.',
)

const redirectFrom = feature(
  'A second port, plain HTTP, that answers with a redirect to the first public URL and does nothing else.',
  false,
  'Whether to listen on it.',
  {
    host: key(listenHost.prefault('0.0.0.0'), 'The address to listen on.', { kind: 'address' }),
    port: key(port.default(8080), 'The port to listen on; 0 lets the system choose.'),
  },
)

export const listen = key(
  z
    .strictObject({
      host: key(listenHost.prefault('0.0.0.0'), 'The address to listen on; `::` is every IPv6 and IPv4 address.', {
        kind: 'address',
      }),
      port: key(port.default(8443), 'The port to listen on; 0 lets the system choose.'),
      maxConnections: key(
        z.int().min(1).max(1_000_000).default(10_000),
        'Connections of clients at one time; further ones are closed at once.',
      ),
      proxyProtocol,
      redirectFrom,
    })
    .prefault({}),
  'Where clients connect.',
)

const certificateSentence = 'PEM file with the certificate, followed by the intermediate ones.'
const keySentence = 'PEM file with the private key of the certificate, without a passphrase.'

export function tlsSection(path: PathSchema) {
  const further = z.strictObject({
    certificateFile: key(path, certificateSentence, { kind: 'path' }),
    keyFile: key(path, keySentence, { kind: 'path' }),
  })
  return feature(
    'The certificates of the public port. TLS 1.2 and 1.3 only.',
    true,
    'Off only behind a proxy that terminates TLS: `false` is refused unless `trustedProxies` names one.',
    {
      certificateFile: key(path.prefault('certs/tls.crt'), certificateSentence, { kind: 'path' }),
      keyFile: key(path.prefault('certs/tls.key'), keySentence, { kind: 'path' }),
      certificates: key(
        whenAbsent(z.array(further), []),
        'Further certificates, chosen by the host name that the client asks for (SNI); where none fits, the first is shown.',
        { kind: 'list of maps' },
      ),
    },
  )
}

export const trustedProxies = key(
  whenAbsent(z.array(network), []),
  'The proxies whose `X-Forwarded-For` is believed; from anyone else it is ignored.',
  { kind: 'list of CIDR ranges', samples: [['10.0.0.0/8']] },
)

export const client = key(
  z
    .strictObject({
      requestHeadersMs: key(milliseconds.default(10_000), 'Until the headers of a request have arrived.', {
        unit: 'ms',
      }),
      inactivityMs: key(milliseconds.default(60_000), 'Silence of a client in the middle of an upload.', {
        unit: 'ms',
      }),
      writeInactivityMs: key(
        milliseconds.default(120_000),
        'How long a client may take nothing in the middle of a download. The system tells of progress in steps of about ' +
          'a megabyte, so a client slower than some 11 KB/s is taken for one that stands still at the default.',
        { unit: 'ms' },
      ),
      keepAliveMs: key(milliseconds.default(65_000), 'How long an idle connection is kept for the next request.', {
        unit: 'ms',
      }),
      handshakeMs: key(milliseconds.default(10_000), 'Until the TLS handshake is done, a PROXY header included.', {
        unit: 'ms',
      }),
    })
    .prefault({}),
  'How long a client may take.',
)
