import { readFileSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from '@jest/globals'

const root = resolve(import.meta.dirname, '../../..')

/**
 * Where a script calls a command: itself, or by its function `read`, which stands for a key that holds what is not ours, and
 * is the one that calls a command by a variable.
 */
const call = /(?:redis\.p?call|\bread)\(\s*(?:'(\w+)'|command\b)/g

const scripts = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((name) => /-scripts?\.ts$/.test(name) || name.startsWith('store/'))
  .map((name) => readFileSync(join(root, 'src', name), 'utf8'))

/** Every command that a script of the gateway calls, in lower case. */
function commandsOfScripts(): readonly string[] {
  const commands = scripts.flatMap((text) =>
    [...text.matchAll(call)].map(([, command]) => command?.toLowerCase() ?? []),
  )
  return [...new Set(commands.flat())].sort()
}

test('the rights that the documentation gives to a user of Redis are those that scripts need', () => {
  const text = readFileSync(join(root, 'docs/how-to/redis.md'), 'utf8')
  const line = /^user wharfgate on .*$/m.exec(text)?.[0] ?? ''
  const given = [...line.matchAll(/ \+([a-z|]+)/g)].map(([, command = '']) => command)
  const ofConnections = ['client|setname', 'eval', 'evalsha']
  expect(commandsOfScripts().length).toBeGreaterThan(3)
  expect(given.filter((command) => !ofConnections.includes(command)).sort()).toEqual(commandsOfScripts())
  expect(given).toEqual(expect.arrayContaining(ofConnections))
})

test('no script names a command in a way that this test does not find', () => {
  for (const text of scripts) expect(text.replaceAll(call, '')).not.toMatch(/redis\.p?call/)
  const others = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  )
  const calling = others.filter((name) => readFileSync(join(root, 'src', name), 'utf8').includes('redis.call('))
  expect(calling.filter((name) => !/-scripts?\.ts$/.test(name) && !name.startsWith('store/'))).toEqual([])
})
