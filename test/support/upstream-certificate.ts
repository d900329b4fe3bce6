import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
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

/** Writes the authority to a file of its own, for a configuration to name. */
export function writeUpstreamCa({ ca }: UpstreamCertificate): { readonly caFile: string; remove(): void } {
  const directory = mkdtempSync(join(tmpdir(), 'wharfgate-upstream-ca-'))
  const caFile = join(directory, 'ca.crt')
  writeFileSync(caFile, ca)
  return {
    caFile,
    remove: () => {
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
