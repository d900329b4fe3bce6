import { createHash, randomBytes } from 'node:crypto'
import { passwords } from './personas.ts'

/** One entry of a directory; attribute names as the directory writes them. */
export type LdapEntry = {
  readonly dn: string
  readonly attributes: Readonly<Record<string, readonly (string | Buffer)[]>>
}

/** Somebody who may bind. */
export type LdapAccount = { readonly dn: string; readonly password: string }

/** A person of the directory, with every value of `uid` (none for `nameless`). */
export type LdapPerson = LdapAccount & { readonly uids: readonly string[] }

/** A group as `groupOfNames`; members are DNs of people and of other groups. */
export type LdapGroup = { readonly dn: string; readonly name: string; readonly members: readonly string[] }

export const baseDn = 'dc=example,dc=org'
export const peopleDn = `ou=people,${baseDn}`
export const contractorsDn = `ou=contractors,${baseDn}`
export const groupsDn = `ou=groups,${baseDn}`
/** Administered by somebody else: no group of it may count, whatever its name. */
export const elsewhereDn = `ou=elsewhere,${baseDn}`

/** May search everything and read no password. */
export const serviceAccount: LdapAccount = {
  dn: `cn=wharfgate,ou=services,${baseDn}`,
  password: 'directory-reader-0815',
}

/** May do everything; no limit and no password policy holds for it. */
export const administrator: LdapAccount = { dn: `cn=root,${baseDn}`, password: 'directory-root-0816' }

const person = (rdn: string, uids: readonly string[], password: string, ou = peopleDn): LdapPerson => ({
  dn: `${rdn},${ou}`,
  uids,
  password,
})

/** The people by what is special about them; the four personas first. */
export const people = {
  alice: person('uid=alice', ['alice'], passwords.alice),
  bob: person('uid=bob', ['bob'], passwords.bob),
  ci: person('uid=ci', ['ci'], passwords.ci),
  /** Has an account and a password, and a group of her own making below `elsewhereDn`. */
  mallory: person('uid=mallory', ['mallory'], 'mallory-knows-hers'),
  /** The directory writes the name with a capital. */
  carol: person('uid=Carol', ['Carol'], 'carol-4712'),
  /** The name is not ASCII (NFC: one code point for the last letter). */
  zoe: person('uid=zo\u00eb', ['zo\u00eb'], 'zo\u00eb-p\u00e4ssword-4713'),
  /** Every character that a filter or a DN gives a meaning to. */
  odd: person(String.raw`uid=odd\,(o*d)\\#\+`, [String.raw`odd,(o*d)\#+`], 'odd-4714'),
  /** Two entries with one uid, in two OUs, with different passwords. */
  twin: person('uid=twin', ['twin'], 'twin-people-4715'),
  twinContractor: person('uid=twin', ['twin'], 'twin-contractors-4716', contractorsDn),
  /** Only among the contractors. */
  dave: person('uid=dave', ['dave'], 'dave-4717', contractorsDn),
  /** One entry with two uids. */
  dora: person('cn=Dora Double', ['dora', 'double'], 'dora-4718'),
  /** In no group, so that there is no memberOf. */
  loner: person('uid=loner', ['loner'], 'loner-4719'),
  /** The DN holds an escaped comma. */
  smith: person(String.raw`cn=Smith\, John`, ['smith'], 'smith-4720'),
  /** Has no uid; can be found by `mail=nameless@example.org`. */
  nameless: person('cn=Nameless', [], 'nameless-4721'),
  /** Locked by the password policy: the right password is refused. */
  locked: person('uid=locked', ['locked'], 'locked-4722'),
  /** The password is right and expired. */
  expired: person('uid=expired', ['expired'], 'expired-4723'),
  /** Must change the password first: the bind succeeds, nothing else does. */
  reset: person('uid=reset', ['reset'], 'reset-4724'),
  /** Member of the groups `crowd-0000` and on, as many as the server is started with. */
  busy: person('uid=busy', ['busy'], 'busy-4725'),
} as const satisfies Readonly<Record<string, LdapPerson>>

const group = (name: string, members: readonly string[], ou = groupsDn): LdapGroup => ({
  dn: `cn=${name.replaceAll(',', String.raw`\,`)},${ou}`,
  name,
  members,
})

const devs = group('devs', [people.alice.dn, people.carol.dn, people.smith.dn, people.odd.dn, people.dora.dn])
const platform = group('platform', [devs.dn])
const loopA = { dn: `cn=loop-a,${groupsDn}` }

/** The groups, with nesting (alice: devs, platform, everyone), a circle, and short names that are there twice. */
export const groups = {
  devs,
  readers: group('readers', [people.bob.dn, people.alice.dn, people.dave.dn, people.zoe.dn]),
  robots: group('robots', [people.ci.dn]),
  admins: group('admins', [people.carol.dn]),
  commas: group('berlin, mitte', [people.smith.dn]),
  platform,
  everyone: group('everyone', [platform.dn]),
  loopB: group('loop-b', [loopA.dn, people.bob.dn]),
  loopA: group('loop-a', [`cn=loop-b,${groupsDn}`]),
  qaNorth: group('qa', [people.bob.dn], `ou=north,${groupsDn}`),
  qaSouth: group('qa', [people.ci.dn], `ou=south,${groupsDn}`),
  /** What mallory made where she may: it is no reason to let her do anything. */
  adminsElsewhere: group('admins', [people.mallory.dn], elsewhereDn),
} as const satisfies Readonly<Record<string, LdapGroup>>

/** A group of `busy`: number 0 is `crowd-0000`. */
export function crowdGroup(number: number): LdapGroup {
  return group(`crowd-${String(number).padStart(4, '0')}`, [people.busy.dn])
}

/** A 16-byte value that is no text, as Active Directory's objectGUID. */
export function objectGuid(dn: string): Buffer {
  return Buffer.concat([Buffer.from([0xff, 0x00, 0xc3]), createHash('sha256').update(dn).digest().subarray(0, 13)])
}

export type DirectoryOptions = {
  /** How many groups `busy` is in; none unless told. */
  readonly crowdGroups?: number
  /** The password policy locks an account after so many wrong passwords, until it is unlocked; never when left out. */
  readonly lockoutAfter?: number
}

/** What the directory holds, parents first. */
export function directoryEntries({ crowdGroups = 0, lockoutAfter = 0 }: DirectoryOptions = {}): readonly LdapEntry[] {
  const allGroups = [...Object.values(groups), ...Array.from({ length: crowdGroups }, (_, at) => crowdGroup(at))]
  const memberOf = new Map<string, string[]>()
  for (const { dn, members } of allGroups) {
    for (const member of members) memberOf.set(member, [...(memberOf.get(member) ?? []), dn])
  }
  const belongings = (dn: string) => {
    const of = memberOf.get(dn)
    return of === undefined ? {} : { memberOf: of }
  }
  return [
    { dn: baseDn, attributes: { objectClass: ['dcObject', 'organization'], o: ['Example'], dc: ['example'] } },
    ...[
      'people',
      'contractors',
      'services',
      'policies',
      'groups',
      'elsewhere',
      'north,ou=groups',
      'south,ou=groups',
    ].map((ou) => unit(ou)),
    {
      dn: serviceAccount.dn,
      attributes: {
        objectClass: ['organizationalRole', 'simpleSecurityObject'],
        cn: ['wharfgate'],
        userPassword: [saltedSha(serviceAccount.password)],
      },
    },
    policy('default', { pwdMaxFailure: [String(lockoutAfter)] }),
    policy('short-lived', { pwdMaxAge: ['3600'] }),
    ...Object.entries(people).map(([key, who]) => personEntry(key, who, { ...belongings(who.dn), ...stateOf(key) })),
    // An alias is followed only by who asks for that; it must not make a second alice.
    {
      dn: `uid=alias,${peopleDn}`,
      attributes: { objectClass: ['alias', 'extensibleObject'], uid: ['alias'], aliasedObjectName: [people.alice.dn] },
    },
    ...allGroups.map(({ dn, name, members }) => ({
      dn,
      attributes: { objectClass: ['groupOfNames'], cn: [name], member: members, ...belongings(dn) },
    })),
  ]
}

/** As `slapadd` and `ldapadd` read it (RFC 2849). */
export function toLdif(entries: readonly LdapEntry[]): string {
  return entries
    .map(({ dn, attributes }) => {
      const lines = Object.entries(attributes).flatMap(([name, values]) => values.map((value) => ldifLine(name, value)))
      return `${[ldifLine('dn', dn), ...lines].join('\n')}\n`
    })
    .join('\n')
}

/** One line of LDIF; always base64, which needs no rules about what is safe. */
export function ldifLine(name: string, value: string | Buffer): string {
  return `${name}:: ${Buffer.from(value).toString('base64')}`
}

/** A password as the directory keeps it. */
export function saltedSha(password: string): string {
  const salt = randomBytes(8)
  const digest = createHash('sha1').update(password).update(salt).digest()
  return `{SSHA}${Buffer.concat([digest, salt]).toString('base64')}`
}

function unit(ou: string): LdapEntry {
  return {
    dn: `ou=${ou},${baseDn}`,
    attributes: { objectClass: ['organizationalUnit'], ou: [ou.replace(/,.*/, '')] },
  }
}

function policy(name: string, attributes: LdapEntry['attributes']): LdapEntry {
  return {
    dn: `cn=${name},ou=policies,${baseDn}`,
    attributes: {
      objectClass: ['device', 'pwdPolicy'],
      cn: [name],
      pwdAttribute: ['userPassword'],
      pwdLockout: ['TRUE'],
      pwdMustChange: ['TRUE'],
      ...attributes,
    },
  }
}

function stateOf(key: string): LdapEntry['attributes'] {
  switch (key) {
    case 'locked':
      return { pwdAccountLockedTime: ['000001010000Z'] }
    case 'expired':
      return {
        pwdPolicySubentry: [`cn=short-lived,ou=policies,${baseDn}`],
        pwdChangedTime: ['20000101000000Z'],
      }
    case 'reset':
      return { pwdReset: ['TRUE'] }
    default:
      return {}
  }
}

function personEntry(key: string, { dn, uids, password }: LdapPerson, more: LdapEntry['attributes']): LdapEntry {
  const commonName = /^cn=((?:\\.|[^,\\])*)/.exec(dn)?.[1]?.replaceAll('\\', '') ?? uids[0] ?? key
  return {
    dn,
    attributes: {
      objectClass: ['inetOrgPerson', 'testAccount'],
      cn: [commonName],
      sn: [key],
      ...(uids.length === 0 ? {} : { uid: uids }),
      mail: [`${key}@example.org`],
      sAMAccountName: [key],
      userPrincipalName: [`${key}@example.org`],
      objectGUID: [objectGuid(dn)],
      userPassword: [saltedSha(password)],
      ...more,
    },
  }
}
