import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { compareNames, indexAfter, nameBytes, snapshotOf, withName } from '../../../../src/proxy/catalog/snapshot.ts'
import { parseRepositoryName } from '../../../../src/registry/name.ts'
import type { RepositoryName } from '../../../../src/registry/name.ts'
import { repository } from './names.ts'

const roomy = { maxNames: 1_000, maxBytes: 1_000_000 }
const names = fc.uniqueArray(
  fc
    .stringMatching(/^[ab0](?:[ab0./_-]{0,6}[ab0])?$/)
    .map(parseRepositoryName)
    .filter((name) => name !== undefined),
  { maxLength: 40 },
)

/** The order as it is meant: component by component, each by its bytes. */
function inOrder(all: readonly RepositoryName[]): readonly RepositoryName[] {
  const key = (name: string): string => name.replaceAll('/', '\0')
  return [...all].sort((one, other) => (key(one) < key(other) ? -1 : 1))
}

describe('the order of names', () => {
  test('is that of the registry: what is below a name comes before what merely begins like it', () => {
    const ordered = ['a', 'a/b', 'a/b/c', 'a/b-c', 'a/c', 'a-b', 'a.b', 'a0', 'a_b', 'ab'].map(repository)
    expect(snapshotOf(new Set(ordered.toReversed())).names).toEqual(ordered)
  })

  test('is component by component for any names', () => {
    fc.assert(
      fc.property(names, (all) => {
        expect(snapshotOf(new Set(all)).names).toEqual(inOrder(all))
      }),
    )
  })

  test('has a place for text that is no name', () => {
    for (const text of ['', 'A', 'a/', '~', 'ä', '/']) {
      expect([text, Math.sign(compareNames(repository('a'), text))]).toEqual([text, 'A/'.includes(text) ? 1 : -1])
    }
  })
})

describe('the place behind a text', () => {
  test('is where the first greater name stands', () => {
    fc.assert(
      fc.property(names, fc.string({ maxLength: 8 }), (all, last) => {
        const snapshot = snapshotOf(new Set(all))
        const behind = snapshot.names.filter((name) => compareNames(name, last) > 0)
        expect(snapshot.names.slice(indexAfter(snapshot, last))).toEqual(behind)
      }),
    )
  })
})

describe('a name that is added', () => {
  test('stands in its place, once, in a snapshot of its own', () => {
    fc.assert(
      fc.property(names, names, (all, added) => {
        const before = snapshotOf(new Set(all))
        const after = added.reduce((snapshot, name) => withName(snapshot, name, roomy), before)
        expect(after).toEqual(snapshotOf(new Set([...all, ...added])))
        expect(before.names).toHaveLength(all.length)
      }),
    )
  })

  const [a, b] = [repository('a'), repository('b')]
  test.each([
    ['the number of names', { ...roomy, maxNames: 1 }],
    ['their bytes', { ...roomy, maxBytes: 2 * nameBytes(a) - 1 }],
  ])('is left out where it would break the bound on %s', (_title, bounds) => {
    const snapshot = snapshotOf(new Set([a]))
    expect(withName(snapshot, b, bounds)).toBe(snapshot)
    expect(withName(snapshot, b, roomy).names).toEqual([a, b])
  })
})
