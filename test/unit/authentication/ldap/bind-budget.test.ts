import { describe, expect, test } from '@jest/globals'
import { createBindBudget } from '../../../../src/authentication/ldap/bind-budget.ts'
import type { BindEnd } from '../../../../src/authentication/ldap/bind-budget.ts'
import { createMemoryStore } from '../../../../src/store/memory-store.ts'
import { StoreError } from '../../../../src/store/store.ts'
import type { Store } from '../../../../src/store/store.ts'
import { createFakeClock, settle as settled } from '../fake-clock.ts'

const minute = 60_000
const alice = 'uid=alice,ou=people,dc=example,dc=org'
const home = '192.0.2.1'
const elsewhere = '198.51.100.7'

function createSite(maxFailedBinds = 3) {
  const clock = createFakeClock()
  const store = createMemoryStore({ clock, maxKeys: 1_000 })
  const budget = createBindBudget({ maxFailedBinds, windowMs: 15 * minute, store })
  /** Asks, and ends the bind at once; says whether it was granted, or how long to wait. */
  const bind = async (network: string, end: BindEnd, account = alice): Promise<number | 'granted'> => {
    const permit = await budget.ask(account, network)
    if (permit.kind === 'withheld') return permit.retryAfterMs
    permit.settle(end)
    await settled()
    return 'granted'
  }
  const binds = async (count: number, network: string, end: BindEnd) => {
    const answers: (number | 'granted')[] = []
    for (let turn = 0; turn < count; turn += 1) answers.push(await bind(network, end))
    return answers
  }
  return { clock, store, budget, bind, binds }
}

describe('the budget of binds', () => {
  test('lets three wrong passwords through in fifteen minutes, from all addresses together', async () => {
    const { bind, clock } = createSite()
    expect(await bind(home, 'wrong')).toBe('granted')
    await clock.advance(minute)
    expect(await bind(elsewhere, 'wrong')).toBe('granted')
    expect(await bind('', 'wrong')).toBe('granted')
    expect(await bind(home, 'wrong')).toBe(14 * minute)
    await clock.advance(14 * minute)
    expect(await bind(home, 'wrong')).toBe('granted')
    expect(await bind(home, 'wrong')).toBe(minute)
  })

  test('counts an account for itself', async () => {
    const { binds, bind } = createSite()
    await binds(3, home, 'wrong')
    expect(await bind(home, 'wrong')).toBeGreaterThan(0)
    expect(await bind(home, 'wrong', 'uid=bob,ou=people,dc=example,dc=org')).toBe('granted')
  })

  test('does not count right passwords, nor binds that were not decided', async () => {
    const { binds } = createSite()
    expect(await binds(10, home, 'right')).toEqual(Array.from({ length: 10 }, () => 'granted'))
    expect(await binds(10, elsewhere, 'undecided')).toEqual(Array.from({ length: 10 }, () => 'granted'))
  })

  test('is not made whole by a right password, which would give guesses to whoever waits for it', async () => {
    const { binds, bind } = createSite()
    await binds(2, elsewhere, 'wrong')
    expect(await bind(home, 'right')).toBe('granted')
    expect(await binds(2, elsewhere, 'wrong')).toEqual(['granted', 15 * minute])
  })

  test('lets no more through at one time than one after the other', async () => {
    const { budget } = createSite()
    const permits = await Promise.all(Array.from({ length: 50 }, () => budget.ask(alice, elsewhere)))
    expect(permits.filter(({ kind }) => kind === 'granted')).toHaveLength(3)
  })

  test('keeps one bind a minute for where the password was right lately', async () => {
    const { bind, binds, clock } = createSite()
    await bind(home, 'right')
    await binds(3, elsewhere, 'wrong')
    expect(await bind(elsewhere, 'right')).toBe(15 * minute)
    expect(await bind(home, 'right')).toBe('granted')
    expect(await bind(home, 'wrong')).toBe('granted')
    expect(await bind(home, 'right')).toBe(minute)
    await clock.advance(minute)
    expect(await bind(home, 'right')).toBe('granted')
  })

  test('does not let wrong passwords through there without end', async () => {
    const { bind, binds, clock } = createSite()
    await bind(home, 'right')
    await binds(3, elsewhere, 'wrong')
    const answers: unknown[] = []
    for (let turn = 0; turn < 10; turn += 1) {
      answers.push(await bind(home, 'wrong'))
      await clock.advance(minute)
    }
    expect(answers.filter((answer) => answer === 'granted')).toHaveLength(3)
  })

  test('forgets where the password was right after a day', async () => {
    const { bind, binds, clock } = createSite()
    await bind(home, 'right')
    await clock.advance(24 * 60 * minute)
    await binds(3, elsewhere, 'wrong')
    expect(await bind(home, 'right')).toBe(15 * minute)
  })

  test('is shared by gateways that share a store', async () => {
    const { store, binds } = createSite()
    const other = createBindBudget({ maxFailedBinds: 3, windowMs: 15 * minute, store })
    await binds(3, home, 'wrong')
    expect(await other.ask(alice, elsewhere)).toMatchObject({ kind: 'withheld' })
  })

  test('tells the store neither names nor addresses', async () => {
    const asked: unknown[] = []
    const store: Store = {
      isSharded: false,
      run: (_script, keys, args) => {
        asked.push(keys, args)
        return Promise.reject(new StoreError('down', 'down'))
      },
      close: () => Promise.resolve(),
    }
    const budget = createBindBudget({ maxFailedBinds: 3, windowMs: minute, store })
    await expect(budget.ask(alice, home)).rejects.toThrow(StoreError)
    expect(JSON.stringify(asked)).not.toMatch(/alice|192\.0/)
  })
})
