import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { ESLint } from 'eslint'

const root = join(import.meta.dirname, '..')

/** Code that lets everybody in, or loses the answer, and compiles all the same; the linter must stop each. */
const probes: readonly (readonly [name: string, rule: string, code: string])[] = [
  ['a forgotten await in an if', 'no-misused-promises', `if (allowed('alice')) enter()`],
  ['the same through a variable', 'no-misused-promises', `const may = allowed('alice')\nif (may) enter()`],
  ['a negated check', 'no-misused-promises', `if (!allowed('alice')) throw new Error('no')\nenter()`],
  ['a lost promise', 'no-floating-promises', `allowed('alice')`],
  [
    'an async callback where void is expected',
    'no-misused-promises',
    `[1].forEach(async () => { await allowed('alice') })`,
  ],
  [
    'a switch over actions that misses one',
    'switch-exhaustiveness-check',
    `switch (action) {\n  case 'pull':\n    enter()\n    break\n  case 'push':\n    break\n}`,
  ],
]

const frame = (code: string): string => `
type Action = 'pull' | 'push' | 'delete'
declare function allowed(user: string): Promise<boolean>
declare function enter(): void
declare const action: Action
export function probe(): void {
  ${code}
  void action
}
`

test.each(probes)('the linter stops %s', async (_name, rule, code) => {
  const eslint = new ESLint({ cwd: root })
  // The text stands in for a file that the type information of the project knows.
  const [result] = await eslint.lintText(frame(code), { filePath: join(root, 'src/registry/principal.ts') })
  expect(result?.messages.map(({ ruleId }) => ruleId)).toContain(`@typescript-eslint/${rule}`)
})
