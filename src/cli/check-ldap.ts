/** Whether the directory that the configuration names can be used safely, as far as that shows without asking it. */
import type { LdapSettings } from '../config/ldap-settings.ts'
import { isLoopbackHost } from '../config/values.ts'
import { checkAuthorities } from './check-certificates.ts'
import type { FileFinding, Inspection } from './check-certificates.ts'

const section = ['authentication', 'ldap']

/** Checks the file of authorities, and tells where passwords may cross a network in clear. */
export async function checkLdap(settings: LdapSettings, inspection: Inspection): Promise<readonly FileFinding[]> {
  if (!settings.enabled) return []
  const { caFile, servers, allowInsecure } = settings
  const path = [...section, 'caFile']
  const authorities = caFile === undefined ? [] : await checkAuthorities(path, caFile, inspection)
  const clear = servers.filter(({ protection }) => protection === 'none')
  const findings = [...authorities]
  if (caFile !== undefined && clear.length === servers.length) {
    const sentence = 'has no effect, because no server is spoken to by TLS; write ldaps://, or add startTls: true'
    findings.push({ path, severity: 'warning', sentence })
  }
  if (allowInsecure) {
    const open = clear.filter(({ host }) => !isLoopbackHost(host)).map(({ url }) => url)
    findings.push({ path: [...section, 'allowInsecure'], severity: 'warning', sentence: sentenceOfClear(open) })
  }
  return findings
}

function sentenceOfClear(open: readonly string[]): string {
  return open.length === 0
    ? 'has no effect with these addresses, and would let passwords be read if one became ldap://; remove it'
    : `lets the password of every user be read on the way to ${open.join(', ')}; write ldaps://, or add startTls: true`
}
