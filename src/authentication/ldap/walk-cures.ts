import type { LdapFault, LdapRefusal } from '../../telemetry/ldap-labels.ts'

/** What a login at a directory consists of. */
export type WalkStep = 'connect' | 'tls' | 'serviceBind' | 'base' | 'user' | 'userBind' | 'groups'

const slow = 'let the directory index what is searched for, or raise operationTimeoutMs'
const byFault: Readonly<Partial<Record<LdapFault, string>>> = {
  connectFailed: 'check host and port in url, that the directory runs, and the firewall between',
  connectTimeout: 'check the firewall between, which drops what it does not let pass, or raise connectTimeoutMs',
  startTlsRefused: 'give the directory a certificate, or write ldaps:// and remove startTls',
  operationTimeout: slow,
  connectionLost: 'look into the log of the directory for why it ended the connection',
  protocolFault: 'check that a directory listens at url, and not something else',
  answerTooLarge: 'narrow the search',
  searchRefused: 'give the service account the right to search there',
  partialAnswer: 'raise the limits of the service account in the directory, or narrow the search',
}
const byStep: Readonly<Record<WalkStep, string>> = {
  connect: 'check url',
  tls: 'check caFile and serverName',
  serviceBind: 'check bindDn and bindPasswordFile, and that the account is neither locked nor expired',
  base: 'check the spelling of searchBase and groupSearchBase, and the rights of the service account there',
  user: 'check nameAttribute and searchFilter',
  userBind: 'look into the log of the directory for why it does not check the password',
  groups: 'check groupSearchBase and groupSearchFilter',
}

/** What to change when a step failed; `tlsFailed` and `clearText` say it themselves. */
export function curesOf(step: WalkStep, fault: LdapFault): readonly string[] {
  // The bases were there: it is the entry of who has bound.
  if (step === 'user' && fault === 'baseMissing') return ['let users read their own entry in the directory']
  return fault === 'tlsFailed' || fault === 'clearText' ? [] : [byFault[fault] ?? byStep[step]]
}

/** What to change when the directory refused a user. */
export const refusalCures: Readonly<Record<LdapRefusal, string>> = {
  wrongPassword: 'type the right password',
  noSuchUser: 'check the name, and userDnTemplate if there is one',
  ambiguous: 'narrow searchFilter or searchBase until one entry matches',
  locked: 'unlock the account in the directory',
  disabled: 'enable the account in the directory',
  accountExpired: 'extend the account in the directory',
  passwordExpired: 'set a new password in the directory',
  mustChangePassword: 'let the user change the password first',
  logonHours: 'try within the logon hours of the account, or change them',
  workstation: 'let the account log on from the gateway’s machine',
  noPassword: 'give the entry a password',
  nameTaken: 'rename the user of the htpasswd file',
  other: 'look into the log of the directory',
}
