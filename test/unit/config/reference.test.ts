import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { z } from 'zod'
import { environmentName } from '../../../src/config/environment.ts'
import { knownKeys, nearestBy, printPath } from '../../../src/config/keys.ts'
import type { KnownKey } from '../../../src/config/keys.ts'
import { readConfig } from '../../../src/config/load.ts'
import { configJsonSchema, configReference } from '../../../src/config/reference.ts'
import { createConfigSchema } from '../../../src/config/schema.ts'
import { withValue } from '../../../src/config/tree.ts'

const known = knownKeys(createConfigSchema((path) => path))
const leaves = known.filter(({ path, type }) => type !== 'section' && !path.includes('[]'))

describe('every key', () => {
  test('was found', () => {
    expect(known.map(({ path }) => printPath(path))).toEqual(
      expect.arrayContaining([
        'publicUrls',
        'listen.proxyProtocol.from',
        'tls.certificates[].keyFile',
        'upstream.credential.passwordFile',
        'audit.enabled',
      ]),
    )
  })
  test.each(known.map((key) => [printPath(key.path), key] as const))(
    '%s has a sentence and names of its own',
    (_, { path, schema }) => {
      expect(schema.description).toMatch(/^[A-Z`].*\.$/)
      const name = environmentName(path)
      if (path.includes('[]')) expect(name).toBeUndefined()
      else expect(name).toMatch(/^WHARFGATE_[A-Z0-9_]+$/)
      expect(known.filter((other) => name !== undefined && environmentName(other.path) === name).length).toBeLessThan(2)
    },
  )
  // The names of passport-ldapauth are its own.
  const isBorrowed = ({ path }: KnownKey): boolean => printPath(path).startsWith('authentication.ldap.server.')
  const numbers = leaves.filter((key) => key.type === 'number' && !isBorrowed(key))
  test.each(numbers.map((key) => [printPath(key.path), key] as const))(
    '%s has a unit in its name where it has one, and bounds',
    (name, { schema }) => {
      expect({ ms: name.endsWith('Ms'), s: name.endsWith('Seconds') }).toEqual({
        ms: schema['unit'] === 'ms',
        s: schema['unit'] === 's',
      })
      expect(schema.minimum).toBeGreaterThanOrEqual(0)
      expect(schema.maximum).toBeLessThan(2 ** 31)
    },
  )
})

/** Values that fit a key, by what the schema says of it. */
function fitting({ schema, type }: KnownKey): fc.Arbitrary<unknown> {
  if (type === 'number') return fc.integer({ min: schema.minimum ?? 0, max: schema.maximum ?? 0 })
  if (type === 'boolean') return fc.boolean()
  if (Array.isArray(schema.enum)) return fc.constantFrom<unknown>(...schema.enum)
  const samples: readonly unknown[] = Array.isArray(schema['samples']) ? schema['samples'] : []
  const values = [schema.default, ...samples].filter((value) => value !== undefined)
  return values.length > 0 ? fc.constantFrom<unknown>(...values) : fc.constant('some/text')
}

async function read(file: unknown, environment: Readonly<Record<string, string>>) {
  const content = Buffer.from(JSON.stringify(file))
  const reading = await readConfig({ file: 'c.yaml', environment, readFile: () => Promise.resolve(content) })
  if (reading.kind === 'ok') return reading.config
  return reading.problems.map(({ key, sentence }) => `${key ?? ''}: ${sentence}`).sort()
}

test('the file and the environment say the same, whatever is set', async () => {
  const settable = leaves.filter(({ secretPath, path }) => secretPath === undefined && path[0] !== 'publicUrl')
  const settingsOf = (keys: fc.Arbitrary<KnownKey[]>) =>
    keys.chain((some) => fc.tuple(...some.map((key) => fitting(key).map((value) => ({ path: key.path, value })))))
  const required = [
    { path: ['publicUrls'], value: ['https://registry.example.org'] },
    { path: ['upstream', 'url'], value: 'http://127.0.0.1:5000' },
    { path: ['authentication', 'htpasswd', 'enabled'], value: true },
  ]
  // Of many keys, some do not go together; of few, most do.
  const few = settingsOf(fc.subarray([...settable], { maxLength: 3 })).map((some) => [...required, ...some])
  const settings = fc.oneof(settingsOf(fc.subarray([...settable])), few)
  let accepted = 0
  await fc.assert(
    fc.asyncProperty(settings, async (settings) => {
      const file = settings.reduce<unknown>((tree, { path, value }) => withValue(tree, path, value), {})
      const environment = settings.map(
        ({ path, value }) =>
          [environmentName(path) ?? '', typeof value === 'string' ? value : JSON.stringify(value)] as const,
      )
      const fromFile = await read(file, {})
      if (!Array.isArray(fromFile)) accepted += 1
      expect(await read({}, Object.fromEntries(environment))).toEqual(fromFile)
    }),
    { numRuns: 300 },
  )
  expect(accepted).toBeGreaterThan(0)
})

test('every default that is shown is the value that an empty configuration has', async () => {
  const least = {
    publicUrl: 'https://a.example.org',
    upstream: { url: 'http://a' },
    authentication: { htpasswd: { enabled: true } },
  }
  const shown = leaves.filter(
    ({ path, schema }) =>
      schema.default !== undefined && environmentName(path) !== 'WHARFGATE_AUTHENTICATION_HTPASSWD_ENABLED',
  )
  const explicit = shown.reduce<unknown>((tree, { path, schema }) => withValue(tree, path, schema.default), least)
  expect(shown.length).toBeGreaterThan(30)
  expect(await read(explicit, {})).toEqual(await read(least, {}))
  expect(await read(least, {})).not.toBeInstanceOf(Array)
})

describe('the reference page', () => {
  const page = configReference()
  test.each(
    known.filter(({ path }) => path.length > 1).map(({ path }) => [printPath(path), environmentName(path)] as const),
  )('shows %s', (key, variable) => {
    const rows = page
      .split('\n')
      .filter((line) => line.startsWith(`| \`${key}\`${variable === undefined ? ' ' : `<br>\`${variable}\` `}`))
    expect(rows).toHaveLength(1)
    expect(rows[0]?.replaceAll('\\|', '').split('|')).toHaveLength(7)
  })
})

describe('the JSON Schema', () => {
  const schema: unknown = JSON.parse(configJsonSchema())
  const everyNode = (node: unknown): readonly Record<string, unknown>[] =>
    typeof node === 'object' && node !== null
      ? [node as Record<string, unknown>, ...Object.values(node).flatMap(everyNode)]
      : []
  test('is draft-07 and refuses unknown keys in every map', () => {
    expect(schema).toMatchObject({ $schema: 'http://json-schema.org/draft-07/schema#', type: 'object' })
    const maps = everyNode(schema).filter(({ type }) => type === 'object')
    expect(maps.length).toBeGreaterThan(15)
    expect(maps.filter(({ additionalProperties }) => additionalProperties !== false)).toEqual([])
  })
  test('shows a feature as one map and a secret with its twin', () => {
    expect(schema).toMatchObject({
      properties: {
        audit: {
          type: 'object',
          properties: { enabled: { type: 'boolean', default: true }, destination: { type: 'string' } },
        },
        upstream: {
          properties: {
            credential: { properties: { password: { type: 'string' }, passwordFile: { type: 'string' } } },
          },
        },
      },
    })
    expect(
      everyNode(schema).filter((node) => 'oneOf' in node || 'secret' in node || 'kind' in node || 'samples' in node),
    ).toEqual([])
  })
  test('requires only what the environment cannot give', () => {
    expect(everyNode(schema).filter((node) => 'required' in node)).toEqual([
      expect.objectContaining({ required: ['certificateFile', 'keyFile'] }),
      expect.objectContaining({ required: ['name', 'scope', 'class', 'quota'] }),
    ])
  })
})

describe('the nearest name', () => {
  const names = ['enabled', 'certificateFile', 'host', 'port']
  test.each([
    ['prot', 'port'],
    ['Port', 'port'],
    ['hosts', 'host'],
    ['enable', 'enabled'],
    ['certifcateFiel', 'certificateFile'],
    ['x', undefined],
    ['', undefined],
    ['pass', undefined],
    ['certificateFile'.repeat(5), undefined],
  ])('to %j is %j', (name, expected) => {
    expect(nearestBy(names, name, (candidate) => candidate)).toBe(expected)
  })
  test('of none is none', () => {
    expect(nearestBy([], 'port', () => '')).toBeUndefined()
  })
})

test('keys of variants stand once', () => {
  const variants = z.strictObject({
    a: z.union([z.strictObject({ b: z.string() }), z.strictObject({ b: z.int(), c: z.string() })]),
  })
  expect(knownKeys(variants).map(({ path }) => printPath(path))).toEqual(['a', 'a.b', 'a.c'])
})
