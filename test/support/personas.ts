import { hashSync } from '@node-rs/bcrypt'

/** The people of the tests; `mallory` has no account. Costs are the lowest that is taken, so that tests are quick. */
export const passwords = {
  alice: 'correct horse: battery staple',
  bob: 'hunter2-hunter2',
  ci: 'robot-token-4711',
} as const

export type Persona = keyof typeof passwords

export function htpasswdFile(): string {
  return Object.entries(passwords)
    .map(([name, password]) => `${name}:${hashSync(password, 4)}\n`)
    .join('')
}

/** Value of `Authorization` for a user name and a password. */
export function basic(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

export function basicOf(persona: Persona): string {
  return basic(persona, passwords[persona])
}
