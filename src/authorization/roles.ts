import { nearestBy, printName } from '../config/keys.ts'
import { actions } from '../registry/access.ts'
import type { Action } from '../registry/access.ts'
import { fault, ok } from './parsed.ts'
import type { Parsed } from './parsed.ts'

/** Roles that every policy has; their names cannot be given to others. */
export const builtInRoles = {
  reader: ['pull', 'list'],
  writer: ['pull', 'push', 'list'],
  maintainer: ['pull', 'push', 'delete', 'list'],
  owner: actions,
} as const satisfies Readonly<Record<string, readonly Action[]>>

/** What a rule may write for the actions it is about: names of actions and roles, and what they stand for. */
export type Roles = ReadonlyMap<string, readonly Action[]>

const actionNames = new Map<string, readonly Action[]>(actions.map((action) => [action, [action]]))

/** The names that mean something before a policy adds to them. */
export const knownRoles: Roles = new Map([...actionNames, ...Object.entries(builtInRoles)])

/** The actions that a role or an action stands for. */
export function actionsOf(name: string, roles: Roles): Parsed<readonly Action[]> {
  const found = roles.get(name)
  return found === undefined ? fault(`is neither a role nor an action${nearest(name, [...roles.keys()])}`) : ok(found)
}

/** An action of an own role; a role is not made of roles. */
export function parseAction(name: string): Parsed<Action> {
  const [action] = actions.filter((known) => known === name)
  return action === undefined ? fault(`is no action${nearest(name, actions)}`) : ok(action)
}

function nearest(name: string, known: readonly string[]): string {
  const meant = nearestBy(known, name, (candidate) => candidate)
  return meant === undefined ? `; known are ${known.slice(0, 30).join(', ')}` : `; did you mean ${printName(meant)}?`
}
