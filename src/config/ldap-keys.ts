/** The keys of `authentication.ldap`, ours and those of passport-ldapauth; what they mean together is in ldap-settings.ts. */
import { z } from 'zod'
import { accountName, attributeName, bindTemplate, entryName, filterTemplate, ldapUrl } from './ldap-values.ts'
import { key, milliseconds, plainText } from './values.ts'
import type { PathSchema } from './values.ts'

const scope = z.enum(['base', 'one', 'sub'])
const list = <T extends z.ZodType>(item: T) => z.array(item).min(1)

const url = ldapUrl.optional()
const urlNotes = {
  kind: 'ldap or ldaps address',
  unset: 'one of `url`, `urls` and `server.url` is required',
  samples: ['ldaps://ldap.example.org'],
} as const
const baseNotes = { kind: 'name of an entry', samples: ['ou=people,dc=example,dc=org'] }

/** What can be said in the words of passport-ldapauth; each key has a twin of ours, which its sentence names. */
function serverShape(path: PathSchema) {
  const twin = (name: string) => `As \`${name}\`.`
  return {
    url: key(url, twin('url'), urlNotes),
    bindDN: key(accountName.optional(), twin('bindDn'), { kind: 'name of an entry', unset: 'as `bindDn` says' }),
    bindCredentials: key(plainText.optional(), twin('bindPassword'), { kind: 'text', secret: true, unset: 'none' }),
    bindProperty: key(
      z
        .string()
        .refine((name) => name === 'dn', { error: 'can only be dn: users are bound by the name of their entry' })
        .optional(),
      'What a user is bound with: the name of the entry.',
      { kind: '`dn`', unset: '`dn`' },
    ),
    searchBase: key(entryName.optional(), twin('searchBase'), { ...baseNotes, unset: 'as `searchBase` says' }),
    searchFilter: key(filterTemplate(['username']).optional(), twin('searchFilter'), {
      kind: 'filter',
      unset: 'as `searchFilter` says',
    }),
    searchScope: key(scope.optional(), twin('searchScope'), { unset: 'as `searchScope` says' }),
    searchAttributes: key(z.array(attributeName).optional(), 'Is not needed: what is used is asked for.', {
      kind: 'list of attributes',
      unset: 'what is used',
      samples: [['cn']],
    }),
    groupSearchBase: key(entryName.optional(), twin('groupSearchBase'), {
      kind: 'name of an entry',
      unset: 'as `groupSearchBase` says',
    }),
    groupSearchFilter: key(filterTemplate(['dn', 'username']).optional(), twin('groupSearchFilter'), {
      kind: 'filter',
      unset: 'as `groupSearchFilter` says',
    }),
    groupSearchScope: key(scope.optional(), twin('groupSearchScope'), { unset: 'as `groupSearchScope` says' }),
    groupSearchAttributes: key(z.array(attributeName).optional(), 'Is not needed: what is used is asked for.', {
      kind: 'list of attributes',
      unset: 'what is used',
      samples: [['cn']],
    }),
    groupDnProperty: key(attributeName.optional(), twin('groupMemberAttribute'), {
      kind: 'attribute',
      unset: 'as `groupMemberAttribute` says',
    }),
    starttls: key(z.boolean().optional(), twin('startTls'), { unset: 'as `startTls` says' }),
    timeout: key(milliseconds.max(60_000).optional(), twin('operationTimeoutMs'), { unit: 'ms', unset: 'as ours' }),
    connectTimeout: key(milliseconds.max(60_000).optional(), twin('connectTimeoutMs'), {
      unit: 'ms',
      unset: 'as ours',
    }),
    tlsOptions: key(
      z
        .strictObject({
          ca: key(path.optional(), 'As `caFile`: the path of a file.', { kind: 'path', unset: 'as `caFile` says' }),
          servername: key(plainText.optional(), twin('serverName'), { kind: 'text', unset: 'as `serverName` says' }),
          rejectUnauthorized: key(
            z
              .boolean()
              .refine((isChecked) => isChecked, {
                error: 'cannot be false; name the authority of the server in caFile instead',
              })
              .optional(),
            'Certificates are always checked.',
            { kind: '`true`', unset: '`true`' },
          ),
        })
        .optional(),
      'TLS in the words of Node.js.',
      { unset: 'as ours' },
    ),
  }
}

/** Where the directory is, and how the gateway proves who it is there. */
function connectionShape(path: PathSchema) {
  return {
    url: key(url, 'The directory: `ldaps://`, or `ldap://` with `startTls`.', urlNotes),
    urls: key(
      list(ldapUrl).optional(),
      'Several servers of one directory, tried in this order; the one that answers is kept.',
      {
        kind: 'list of addresses',
        unset: 'the one of `url`',
        samples: [['ldaps://ldap-1.example.org', 'ldaps://ldap-2.example.org']],
      },
    ),
    startTls: key(
      z.boolean().optional(),
      'Whether `ldap://` is made TLS before anything is said (RFC 4511 section 4.14).',
      {
        unset: '`false`',
      },
    ),
    caFile: key(path.optional(), 'PEM file with the authorities that may vouch for the directory.', {
      kind: 'path',
      unset: 'the authorities that Node.js trusts',
    }),
    serverName: key(plainText.optional(), 'The name that the certificate must be for.', {
      kind: 'text',
      unset: 'the host that is connected to',
    }),
    allowInsecure: key(
      z.boolean().default(false),
      'Whether passwords may cross the network in clear: `ldap://` without `startTls` to a host other than this machine.',
    ),
    bindDn: key(accountName.optional(), 'The service account that searches for users.', {
      kind: 'name of an entry',
      unset: 'the search is anonymous',
      samples: ['cn=wharfgate,ou=services,dc=example,dc=org'],
    }),
    bindPassword: key(plainText.optional(), 'Its password.', { kind: 'text', secret: true, unset: 'none' }),
  }
}

const userShape = {
  searchBase: key(entryName.optional(), 'The entry below which users are.', {
    ...baseNotes,
    unset: 'required, unless `searchBases` or a `userDnTemplate` with a DN is there',
  }),
  searchBases: key(list(entryName).optional(), 'Several of them; a user must be in exactly one.', {
    kind: 'list of names of entries',
    unset: 'the one of `searchBase`',
    samples: [['ou=people,dc=example,dc=org', 'ou=robots,dc=example,dc=org']],
  }),
  searchFilter: key(
    filterTemplate(['username']).optional(),
    'What finds a user; `{{username}}` is the name that was typed.',
    {
      kind: 'filter',
      unset: '`(uid={{username}})`',
      samples: ['(&(objectClass=person)(sAMAccountName={{username}}))'],
    },
  ),
  searchScope: key(scope.optional(), 'How far below the base: `one` level, or `sub` for all.', { unset: '`sub`' }),
  userDnTemplate: key(
    bindTemplate.optional(),
    'Logs users in without a service account: the name of their entry, or `{{username}}@DOMAIN` of Active Directory.',
    { kind: 'template', unset: 'users are searched for', samples: ['uid={{username}},ou=people,dc=example,dc=org'] },
  ),
  nameAttribute: key(
    attributeName.prefault('uid'),
    'The attribute whose value is the user’s name in policies, limits and the audit log; `sAMAccountName` in Active Directory.',
    { kind: 'attribute' },
  ),
  nameCase: key(
    z.enum(['lower', 'keep']).default('lower'),
    'Whether that name, and short names of groups, are made lower case.',
  ),
}

const groupShape = {
  groups: key(
    z.enum(['none', 'memberOf', 'search']).optional(),
    'Where a user’s groups are: in `memberOf` of the user, or found by a search.',
    { unset: '`search` where `groupSearchBase` is given, else `none`' },
  ),
  groupSearchBase: key(
    entryName.optional(),
    'Where groups are searched, and below which they have short names in policies.',
    {
      kind: 'name of an entry',
      unset: 'groups have no short names',
      samples: ['ou=groups,dc=example,dc=org'],
    },
  ),
  groupSearchFilter: key(
    filterTemplate(['dn', 'username']).optional(),
    'What finds the groups; `{{dn}}` is the user’s entry, `{{username}}` the value of `nameAttribute`.',
    { kind: 'filter', unset: '`(member={{dn}})`', samples: ['(&(objectClass=posixGroup)(memberUid={{username}}))'] },
  ),
  groupSearchScope: key(scope.optional(), 'How far below the base.', { unset: '`sub`' }),
  groupNameAttribute: key(
    attributeName.prefault('cn'),
    'The attribute that begins a group’s DN, and whose value is its short name.',
    { kind: 'attribute' },
  ),
  groupMemberAttribute: key(attributeName.optional(), 'The attribute of the user that `{{dn}}` stands for.', {
    kind: 'attribute',
    unset: '`dn`, the name of the entry',
  }),
  nestedGroups: key(
    z.enum(['none', 'matchingRule', 'walk']).default('none'),
    'Groups of groups: by the rule of Active Directory, which is one search, or step by step.',
  ),
}

const workShape = {
  connectTimeoutMs: key(milliseconds.max(60_000).optional(), 'Until a connection stands, TLS included.', {
    unit: 'ms',
    unset: '`2000`',
  }),
  operationTimeoutMs: key(milliseconds.max(60_000).optional(), 'How long the directory may take for one answer.', {
    unit: 'ms',
    unset: '`5000`',
  }),
  maxConcurrentLogins: key(z.int().min(1).max(1_024).default(32), 'Logins that ask the directory at one time.'),
  maxQueuedLogins: key(
    z.int().min(0).max(100_000).default(1_024),
    'Logins that may wait for their turn; others get 503.',
  ),
  maxQueueWaitMs: key(
    milliseconds.max(60_000).default(2_000),
    'How long a login may wait for its turn before it gets 503.',
    {
      unit: 'ms',
    },
  ),
  maxFailedBinds: key(
    z.int().min(1).max(1_000).default(3),
    'Wrong passwords of one user that reach the directory within the window, over all addresses and gateways. Keep it below the directory’s own lockout.',
  ),
  failedBindWindowSeconds: key(z.int().min(1).max(86_400).default(900), 'That window.', { unit: 's' }),
  staleSeconds: key(
    z.int().min(0).max(86_400).default(0),
    'How long a login that was right may be served from memory, beyond `credentialCacheTtlSeconds`, while the directory is down; 0 is never.',
    { unit: 's' },
  ),
}

/** Every key of the section. */
export function ldapShape(path: PathSchema) {
  return {
    ...connectionShape(path),
    ...userShape,
    ...groupShape,
    ...workShape,
    server: key(
      z.strictObject(serverShape(path)).optional(),
      'The same in the words of passport-ldapauth, so that its configuration can be carried over.',
      { unset: 'the keys beside it' },
    ),
  }
}

export type LdapDocument = z.output<z.ZodObject<ReturnType<typeof ldapShape>>>
