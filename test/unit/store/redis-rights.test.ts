import { readFileSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from '@jest/globals'

const root = resolve(import.meta.dirname, '../../..')

/** Every command that a script of the gateway calls, in lower case. */
function commandsOfScripts(): readonly string[] {
  const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => readFileSync(join(root, 'src', name), 'utf8'))
  const calls = sources.flatMap((text) => [...text.matchAll(/redis\.p?call\(\s*'(\w+)'/g)])
  return [...new Set(calls.map(([, command = '']) => command.toLowerCase()))].sort()
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
  const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('-script.ts') || name.endsWith('-scripts.ts'))
    .map((name) => readFileSync(join(root, 'src', name), 'utf8'))
  for (const text of sources) expect(text.replaceAll(/redis\.p?call\(\s*'\w+'/g, '')).not.toMatch(/redis\.p?call/)
})
