import { normalDn } from '../config/distinguished-name.ts'
import { printName } from '../config/keys.ts'
import type { Principal } from '../registry/principal.ts'
import { fault, ok } from './parsed.ts'
import type { Parsed } from './parsed.ts'

/** Whom a rule is for. `authenticated` is everyone who has logged in, and nobody else; `anonymous` everyone who has not. */
export type Subject = {
  readonly kind: 'user' | 'group' | 'authenticated' | 'anonymous'
  /** Of the user or the group; empty for the others. */
  readonly name: string
  /** As it stands in the file, but for {@link groupName}; which is also what {@link subjectsOf} calls it. */
  readonly text: string
}

const forms = 'user:NAME, group:NAME, authenticated or anonymous'

export function parseSubject(text: string): Parsed<Subject> {
  if (text === 'authenticated' || text === 'anonymous') return ok({ kind: text, name: '', text })
  const kind = (['user', 'group'] as const).find((each) => text.startsWith(`${each}:`))
  if (kind === undefined) return fault(`must be ${forms}${suggestion(text)}`)
  const name = text.slice(kind.length + 1)
  if (name === '' || name !== name.trim() || /[\u0000-\u001f\u007f]/.test(name))
    return fault(`must have a name behind ${kind}:, without blanks around it or control characters in it`)
  // Names are compared as they are; one that looks like a pattern was probably meant to be one.
  if (/^\*+$/.test(name) || name.includes('${'))
    return fault(
      `names one ${kind}, and neither wildcards nor variables can stand for it; everyone who has logged in is authenticated`,
    )
  if (kind === 'user' && name.includes(':')) return fault('names a user, whose name cannot contain a colon')
  if (kind === 'user') return ok({ kind, name, text })
  const group = groupName(name)
  return ok({ kind, name: group, text: `group:${group}` })
}

/**
 * The name by which a group is compared: that of an entry of a directory in the one form that a login brings, whatever the
 * blanks, capitals and escapes it is written with (RFC 4514); every other as it is.
 */
export function groupName(name: string): string {
  return normalDn(name) ?? name
}

function suggestion(text: string): string {
  const words: Readonly<Record<string, string>> = {
    '*': 'authenticated',
    all: 'authenticated',
    any: 'authenticated',
    everyone: 'authenticated',
    users: 'authenticated',
  }
  const meant = Object.hasOwn(words, text.toLowerCase()) ? words[text.toLowerCase()] : undefined
  if (meant !== undefined) return `; did you mean ${meant}?`
  return /^[\w.@-]+$/.test(text) ? `; did you mean user:${printName(text)} or group:${printName(text)}?` : ''
}

/** Which groups a policy gives a user besides those of the login. */
export type Memberships = ReadonlyMap<string, readonly string[]>

/** All groups of a principal: those of its login, and those of the policy. */
export function groupsOf(principal: Principal, memberships: Memberships): readonly string[] {
  if (principal.kind === 'anonymous') return []
  const ofPolicy = memberships.get(principal.name)
  return ofPolicy === undefined ? principal.groups : [...new Set([...principal.groups, ...ofPolicy])]
}

/** Every subject that a principal is, as rules write it. */
export function subjectsOf(principal: Principal, groups: readonly string[]): ReadonlySet<string> {
  if (principal.kind === 'anonymous') return new Set(['anonymous'])
  return new Set([`user:${principal.name}`, ...groups.map((group) => `group:${group}`), 'authenticated'])
}
