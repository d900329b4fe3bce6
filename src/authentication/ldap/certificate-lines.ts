import { X509Certificate } from 'node:crypto'
import type { DetailedPeerCertificate } from 'node:tls'

/** A server's certificate and those that vouch for it, a line each, the server's own first. */
export function certificateLines(certificate: DetailedPeerCertificate): readonly string[] {
  const lines = new Map<string, string>()
  // The last one is its own issuer, or has none, which the type does not know.
  let next: Partial<DetailedPeerCertificate> | undefined = certificate
  while (next?.raw !== undefined && !lines.has(next.fingerprint256 ?? '')) {
    const { subject, subjectAltName, issuer, validTo } = new X509Certificate(next.raw)
    const name = lines.size === 0 && subjectAltName !== undefined ? subjectAltName : oneLine(subject)
    lines.set(next.fingerprint256 ?? '', `${name}, signed by ${oneLine(issuer)}, until ${validTo}`)
    next = next.issuerCertificate
  }
  return [...lines.values()]
}

function oneLine(name: string): string {
  return name.replaceAll('\n', ', ')
}
