/** The closed sets that labels and fields about a directory come from. */

/** What the gateway does at a directory. */
export const ldapOperations = ['connect', 'serviceBind', 'userSearch', 'userBind', 'groupSearch'] as const

export type LdapOperation = (typeof ldapOperations)[number]

/** Why a directory gave no answer. */
export const ldapFaults = [
  'connectFailed',
  'connectTimeout',
  'tlsFailed',
  'startTlsRefused',
  'clearText',
  'operationTimeout',
  'connectionLost',
  'protocolFault',
  'answerTooLarge',
  'serviceRefused',
  'baseMissing',
  'searchRefused',
  'partialAnswer',
  'bindRefused',
  'unusableEntry',
  'down',
  'overloaded',
] as const

export type LdapFault = (typeof ldapFaults)[number]

/** How an operation ended; `refused` is the bind of a user with another password. */
export type LdapOutcome = 'ok' | 'refused' | LdapFault

/** Why a user was not let in, as the directory tells it to operators. Whoever guesses is told nothing of it. */
export const ldapRefusals = [
  'wrongPassword',
  'noSuchUser',
  'ambiguous',
  'locked',
  'disabled',
  'accountExpired',
  'passwordExpired',
  'mustChangePassword',
  'logonHours',
  'workstation',
  'noPassword',
  'nameTaken',
  'other',
] as const

export type LdapRefusal = (typeof ldapRefusals)[number]

/** Why a login got no turn at the directory. */
export type LdapTurnRefusal = 'queueFull' | 'queueWait'

/** Why a password was not sent to the directory: its account had its share of wrong ones, or it was wrong a moment ago. */
export type LdapWithholding = 'budget' | 'repeated'
