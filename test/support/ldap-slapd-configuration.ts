import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { administrator, baseDn, serviceAccount } from './ldap-entries.ts'

/** How slapd behaves; everything has a default. */
export type SlapdBehaviour = {
  /** Refuses (confidentialityRequired) every bind outside TLS. */
  readonly isEncryptionRequired?: boolean
  /** At most so many entries for the service account, or for one page of its searches. */
  readonly sizeLimit?: number
  /** Whether pages may lead beyond `sizeLimit`, as in Active Directory: yes unless told. */
  readonly isPagingAllowed?: boolean
  /** Closes a connection that is idle for so long; never when left out. */
  readonly idleTimeoutSeconds?: number
  /** Lines of slapd.conf for the whole server. */
  readonly globalLines?: readonly string[]
  /** Lines of slapd.conf for the database. */
  readonly databaseLines?: readonly string[]
}

type Place = {
  /** The executable, or the script that starts it. */
  readonly slapd: string
  /** Where its files are. */
  readonly directory: string
  readonly hasTls: boolean
}

/** The text of slapd.conf. Modules and schema are looked for in the tree that the executable stands in. */
export function slapdConfiguration(
  { slapd, directory, hasTls }: Place,
  {
    isEncryptionRequired = false,
    sizeLimit,
    isPagingAllowed = true,
    idleTimeoutSeconds = 0,
    globalLines = [],
    databaseLines = [],
  }: SlapdBehaviour,
): string {
  const tree = treeOf(slapd)
  const size = sizeLimit === undefined ? 'unlimited' : String(sizeLimit)
  const service = `dn.exact="${serviceAccount.dn}"`
  return [
    ...['core', 'cosine', 'inetorgperson'].map((name) => `include ${join(tree.schema, `${name}.schema`)}`),
    ...activeDirectorySchema,
    `modulepath ${tree.modules}`,
    ...['back_mdb', 'memberof', 'refint', 'ppolicy'].map((name) => `moduleload ${name}`),
    `pidfile ${directory}/slapd.pid`,
    `argsfile ${directory}/slapd.args`,
    'loglevel 0',
    `idletimeout ${String(idleTimeoutSeconds)}`,
    // As careless as directories come: a DN with an empty password is a bind that succeeds (RFC 4513 section 5.1.2).
    'allow bind_anon_dn bind_anon_cred',
    ...(isEncryptionRequired ? ['security simple_bind=128'] : []),
    ...(hasTls
      ? [
          `TLSCertificateFile ${directory}/tls.crt`,
          `TLSCertificateKeyFile ${directory}/tls.key`,
          'TLSVerifyClient never',
        ]
      : []),
    ...globalLines,
    'database mdb',
    `suffix ${baseDn}`,
    `rootdn ${administrator.dn}`,
    `rootpw ${administrator.password}`,
    `directory ${directory}/data`,
    'maxsize 268435456',
    // A test's data need not outlive the machine.
    'dbnosync',
    'sortvals member memberOf',
    'index objectClass,uid,mail,member,memberOf,sAMAccountName,userPrincipalName eq',
    `limits ${service} size.soft=${size} size.hard=${size} size.prtotal=${isPagingAllowed ? 'unlimited' : size}`,
    `access to attrs=userPassword by ${service} none by anonymous auth by * none`,
    `access to * by ${service} read by anonymous auth by * none`,
    ...databaseLines,
    'overlay memberof',
    'memberof-refint TRUE',
    'overlay ppolicy',
    `ppolicy_default cn=default,ou=policies,${baseDn}`,
    '',
  ].join('\n')
}

/** The names by which Active Directory knows people, on any entry. */
const activeDirectorySchema = [
  "attributetype ( 1.2.840.113556.1.4.221 NAME 'sAMAccountName' EQUALITY caseIgnoreMatch",
  '  SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )',
  "attributetype ( 1.2.840.113556.1.4.656 NAME 'userPrincipalName' EQUALITY caseIgnoreMatch",
  '  SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )',
  "attributetype ( 1.2.840.113556.1.4.2 NAME 'objectGUID' EQUALITY octetStringMatch",
  '  SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 SINGLE-VALUE )',
  "objectclass ( 1.2.840.113556.1.5.9999 NAME 'testAccount' SUP top AUXILIARY",
  '  MAY ( sAMAccountName $ userPrincipalName $ objectGUID ) )',
]

/** Unpacked (`TREE/run/slapd`), or installed in the root of the system. */
function treeOf(slapd: string): { readonly schema: string; readonly modules: string } {
  const parents = [join(dirname(slapd), '..'), '/']
  const root = parents.find((parent) => existsSync(join(parent, 'etc/ldap/schema/core.schema')))
  if (root === undefined) throw new Error(`there is no etc/ldap/schema beside ${slapd}`)
  return { schema: join(root, 'etc/ldap/schema'), modules: join(root, 'usr/lib/ldap') }
}
