/** Headers that say where somebody comes from: X-Forwarded-For behind a proxy, Origin of a page. */
import fc from 'fast-check'
import { createCors } from '../../src/headers/cors.ts'
import { clientAddress, contains, networkList, parseAddress } from '../../src/listener/client-address.ts'
import { mutatedBytes } from './bytes.ts'
import { createFuzzTarget, must } from './target.ts'

const trusted = networkList([
  { family: 'ipv4', address: '10.0.0.0', prefixLength: 8 },
  { family: 'ipv6', address: '2001:db8::', prefixLength: 32 },
])
const peers = ['10.1.2.3', '::ffff:10.1.2.3', '2001:db8::7', '192.0.2.9', '']
const forwardedCorpus = [
  '192.0.2.1',
  '192.0.2.1, 10.0.0.1,10.0.0.2',
  '[2001:db8::1]:443, 198.51.100.7:56324',
  '2001:db8:0:0::1, ::ffff:192.0.2.1, fe80::1%eth0',
  'unknown, _hidden, 010.0.0.1, 0x7f.1',
]

/** The address is the peer's, or one that a trusted proxy has named, in the one form that all of us compare. */
function checkForwarded({ peer, lines }: { readonly peer: string; readonly lines: readonly string[] }): void {
  const address = clientAddress(peer, lines, trusted)
  const peerAddress = parseAddress(peer) ?? peer
  if (address === peerAddress) return
  must(contains(trusted, peerAddress), 'a stranger’s header was believed')
  must(parseAddress(address) === address, `${address} is not in the form that is compared`)
}

const cors = createCors({
  enabled: true,
  origins: [
    { kind: 'exact', origin: 'https://ui.example.org' },
    { kind: 'any-label', prefix: 'https://', suffix: '.pages.example.org:8443' },
  ],
  allowCredentials: true,
  maxAgeSeconds: 600,
})
const originCorpus = [
  'https://ui.example.org',
  'https://a-1.pages.example.org:8443',
  'https://evil.test/.pages.example.org:8443',
  'https://ui.example.org.evil.test',
  'null',
]

/** An origin that is let in is one that a browser sends, of a host that the settings name. */
function checkOrigin(origin: string): void {
  if (!cors.headers(origin).some(([name]) => name === 'access-control-allow-origin')) return
  // A label such as xn--0 names no host, so that no page can come from there.
  if (!URL.canParse(origin)) return
  const url = new URL(origin)
  must(url.origin === origin && url.protocol === 'https:', `${origin} is no origin of a browser`)
  const isNamed = url.host === 'ui.example.org' || /^[^.]+\.pages\.example\.org:8443$/.test(url.host)
  must(isNamed, `${origin} is let in`)
}

export const originTargets = [
  createFuzzTarget(
    'forwarded-for',
    fc.record({
      peer: fc.constantFrom(...peers),
      lines: fc.array(mutatedBytes(forwardedCorpus, [',', ' ', '10.0.0.1', '::', '[', ']:1', '%eth0', '\t']), {
        maxLength: 3,
      }),
    }),
    checkForwarded,
  ),
  createFuzzTarget(
    'origin',
    mutatedBytes(originCorpus, ['https://', '.pages.example.org:8443', '.', ':8443', '@', '/', '#', '\\', 'A', '\xe9']),
    checkOrigin,
  ),
]
