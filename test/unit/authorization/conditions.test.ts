import { describe, expect, test } from '@jest/globals'
import { conditionsOf, createMoment } from '../../../src/authorization/conditions.ts'
import type { AskedTag, Conditions, Effect } from '../../../src/authorization/conditions.ts'
import { parseTagPattern } from '../../../src/authorization/tag-pattern.ts'
import type { Principal } from '../../../src/registry/principal.ts'

const alice: Principal = { kind: 'user', name: 'alice', groups: [], method: 'htpasswd' }
const none: Conditions = {
  addresses: undefined,
  methods: undefined,
  tags: undefined,
  hours: undefined,
  notBefore: undefined,
  notAfter: undefined,
}

/** Whether every condition holds, for alice. */
function hold(given: Partial<Conditions>, effect: Effect = 'allow', tag?: AskedTag): boolean {
  const moment = createMoment(alice, { address: '192.0.2.1', now: 0, ownHosts: new Set() })
  return conditionsOf({ ...none, ...given }, effect).every(({ holds }) => holds(moment, tag))
}

describe('a condition', () => {
  test('of the kind of login holds for those that it names', () => {
    expect(hold({ methods: new Set(['htpasswd']) })).toBe(true)
    expect(hold({ methods: new Set() })).toBe(false)
  })
  test.each([
    [['v1', '*'], true],
    [['*', 'v1'], true],
    [['v1', 'v*'], false],
  ])('of the tags %j holds for any tag there may be: %s', (texts, expected) => {
    const tags = texts.flatMap((text) => {
      const parsed = parseTagPattern(text)
      return parsed.kind === 'ok' ? [parsed.value] : []
    })
    expect(hold({ tags }, 'allow', { kind: 'any' })).toBe(expected)
    expect(hold({ tags }, 'deny', { kind: 'any' })).toBe(true)
  })
})
