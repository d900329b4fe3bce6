import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hashSync } from '@node-rs/bcrypt'
import { htpasswdFile } from '../support/personas.ts'

const line = (name: string, password: string): string => `${name}:${hashSync(password, 4)}`

/** A file of users with every kind of line; the personas are its first three. Returns its path. */
export function writeUsers(): string {
  const lines = [
    htpasswdFile().trimEnd(),
    line('long', 'p'.repeat(72)),
    line('a', 'bc'),
    line('ab', 'c'),
    line('n'.repeat(60), 'right'),
    line('twin1', 'same'),
    line('twin2', 'same'),
    line('weak', 'secret'),
    '# lines that cannot be used',
    'sha:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=',
    'apr:$apr1$r31....$HqJZimcKQFAMYayBlzkrA/',
    'plain:secret',
    `x:${hashSync('secret', 4).replace('$2b$', '$2x$')}`,
    `costly:${hashSync('secret', 4).replace('$04$', '$31$')}`,
    line('double', 'one'),
    line('double', 'two'),
  ]
  const file = join(mkdtempSync(join(tmpdir(), 'wharfgate-users-')), 'htpasswd')
  writeFileSync(file, `${lines.join('\n')}\n`)
  return file
}
