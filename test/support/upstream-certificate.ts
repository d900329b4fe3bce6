import { randomBytes } from 'node:crypto'
import { issueLeaf, makeAuthority } from '../../src/cli/certificate-authority.ts'
import { parseCertificateHosts } from '../../src/cli/certificate-host.ts'

/** PEM of a certificate for `localhost`, its key, and the authority to be trusted for it. */
export type UpstreamCertificate = { readonly cert: string; readonly key: string; readonly ca: string }

export async function makeUpstreamCertificate(): Promise<UpstreamCertificate> {
  const hosts = parseCertificateHosts(['localhost'])
  const circumstances = { now: new Date(), randomBytes }
  const authority = await makeAuthority(hosts, circumstances)
  const leaf = await issueLeaf(authority, { hosts, algorithm: 'ec', days: 1 }, circumstances)
  return { cert: leaf.certificatePem, key: leaf.keyPem, ca: authority.certificatePem }
}
