import { describe, expect, test } from '@jest/globals'
import type { LdapConnection } from '../../../../src/authentication/ldap/connection.ts'
import { LdapError } from '../../../../src/authentication/ldap/ldap-error.ts'
import { createPool } from '../../../../src/authentication/ldap/pool.ts'
import { createServers } from '../../../../src/authentication/ldap/servers.ts'
import { createTurns } from '../../../../src/authentication/ldap/turns.ts'
import type { LdapServer } from '../../../../src/config/ldap-settings.ts'
import { createFakeClock, settle, watch } from '../fake-clock.ts'
import { recordEvents } from './ldap-site.ts'

const serverAt = (host: string): LdapServer => ({ url: `ldaps://${host}:636`, host, port: 636, protection: 'tls' })
const [one, two, three] = [serverAt('one'), serverAt('two'), serverAt('three')]

type Health = 'up' | 'refused' | 'black hole' | 'silent'

/** Servers of which a test says how they are. */
function createSite(servers: readonly LdapServer[] = [one, two]) {
  const clock = createFakeClock()
  const recorded = recordEvents()
  const health = new Map<LdapServer, Health>()
  const opened: string[] = []
  let binds = 0
  let bindCode = 0
  const open = (server: LdapServer, timeoutMs: number): Promise<LdapConnection> => {
    opened.push(server.host)
    switch (health.get(server) ?? 'up') {
      case 'refused':
        return Promise.reject(new LdapError('connectFailed', `${server.host} refuses`))
      case 'black hole':
        return new Promise((_, reject) => {
          clock.after(timeoutMs, () => {
            reject(new LdapError('connectTimeout', `${server.host} is not there`))
          })
        })
      case 'up':
      case 'silent':
        return Promise.resolve(fakeConnection(server))
    }
  }
  function fakeConnection(server: LdapServer): LdapConnection {
    let isOpen = true
    return {
      server,
      bind: () => {
        binds += 1
        return Promise.resolve({ code: bindCode, message: '' })
      },
      search: () =>
        health.get(server) === 'silent'
          ? Promise.reject(new LdapError('operationTimeout', `${server.host} is silent`))
          : Promise.resolve({ code: 0, message: '', entries: [], references: 0 }),
      whoAmI: () => Promise.resolve({ code: 2, message: '', identity: '' }),
      isOpen: () => isOpen,
      close: () => {
        isOpen = false
      },
    }
  }
  const directory = createServers({
    ...{ servers, connectTimeoutMs: 2_000, open, clock, events: recorded.events },
    probe: async (connection) => {
      await connection.search(nothing)
    },
  })
  const ask = async (): Promise<string> => {
    try {
      return (await directory.connect()).server.host
    } catch (error) {
      return error instanceof LdapError ? error.fault : String(error)
    }
  }
  return {
    ...{ clock, directory, opened, ask, ...recorded },
    set: (server: LdapServer, state: Health) => health.set(server, state),
    binds: () => binds,
    refuseBinds: (code: number) => {
      bindCode = code
    },
  }
}

const nothing = { base: '', scope: 'base', filter: undefined as never, attributes: [], sizeLimit: 1 } as const

describe('the servers of a directory', () => {
  test('are asked in their order, and the one that answers is kept', async () => {
    const { ask, set, opened } = createSite([one, two, three])
    expect(await ask()).toBe('one')
    set(one, 'refused')
    expect(await ask()).toBe('two')
    set(one, 'up')
    expect(await ask()).toBe('two')
    expect(opened).toEqual(['one', 'one', 'two', 'two'])
  })

  test('that are dead cost one time to connect, once', async () => {
    const { ask, set, clock } = createSite()
    set(one, 'black hole')
    const first = watch(ask())
    await clock.advance(1_999)
    expect(first().kind).toBe('pending')
    await clock.advance(1)
    expect(first()).toEqual({ kind: 'value', value: 'two' })
    expect(await ask()).toBe('two')
  })

  test('cost no more than 3 s when all of them are dead', async () => {
    const { ask, set, clock } = createSite([one, two, three])
    for (const server of [one, two, three]) set(server, 'black hole')
    const first = watch(ask())
    await clock.advance(2_800)
    expect(first()).toEqual({ kind: 'value', value: 'connectTimeout' })
    set(three, 'up')
    const second = watch(ask())
    await settle()
    expect(second()).toEqual({ kind: 'value', value: 'three' })
  })

  test('are left alone after five failures, and asked every 5 s by nobody but us', async () => {
    const { ask, set, clock, opened } = createSite([one])
    set(one, 'refused')
    const answers: string[] = []
    for (let turn = 0; turn < 8; turn += 1) answers.push(await ask())
    expect(answers).toEqual([...Array.from({ length: 5 }, () => 'connectFailed'), 'down', 'down', 'down'])
    expect(opened).toHaveLength(5)
    await clock.advance(15_000)
    expect(opened).toHaveLength(8)
  })

  test('are back within 6 s', async () => {
    const { ask, set, clock, told } = createSite([one])
    set(one, 'refused')
    for (let turn = 0; turn < 6; turn += 1) await ask()
    set(one, 'up')
    expect(await ask()).toBe('down')
    await clock.advance(5_000)
    expect(await ask()).toBe('one')
    expect(told('ldapServerChanged')).toEqual([
      expect.objectContaining({ server: one.url, isUp: false, sentence: 'one refuses' }),
      { server: one.url, isUp: true },
    ])
  })

  test('that accept connections and answer nothing are not up for that', async () => {
    const { ask, set, clock, directory } = createSite([one])
    set(one, 'silent')
    for (let turn = 0; turn < 5; turn += 1) {
      expect(await ask()).toBe('one')
      directory.report(one, new LdapError('operationTimeout', 'silent'))
    }
    expect(await ask()).toBe('down')
    await clock.advance(5_000)
    expect(await ask()).toBe('down')
    set(one, 'up')
    await clock.advance(5_000)
    expect(await ask()).toBe('one')
  })

  test('that fail now and then are never left alone', async () => {
    const { ask, directory } = createSite([one])
    for (let turn = 0; turn < 20; turn += 1) {
      directory.report(one, new LdapError('operationTimeout', 'slow'))
      directory.report(one, undefined)
    }
    expect(await ask()).toBe('one')
  })

  test('leave no timer behind', async () => {
    const { ask, set, clock, directory } = createSite([one])
    set(one, 'refused')
    await ask()
    directory.close()
    expect(clock.pending()).toBe(0)
    expect(await ask()).toBe('down')
  })
})

describe('the service account', () => {
  test('that is refused is not tried again at once, so that nobody locks it by logging in', async () => {
    const { directory, clock, events, told, binds, refuseBinds } = createSite([one])
    const pool = createPool({ servers: directory, service: { dn: 'cn=gate', password: 'x' }, clock, events })
    const search = async (): Promise<string> => {
      try {
        await pool.search((connection) => connection.search(nothing))
        return 'ok'
      } catch (error) {
        return error instanceof LdapError ? error.fault : String(error)
      }
    }
    refuseBinds(49)
    for (let turn = 0; turn < 20; turn += 1) expect(await search()).toBe('serviceRefused')
    expect(binds()).toBe(1)
    await clock.advance(5_000)
    await search()
    expect(binds()).toBe(2)
    await clock.advance(9_999)
    await search()
    expect(binds()).toBe(2)
    await clock.advance(600_000)
    await search()
    expect(told('ldapServiceRefused')).toHaveLength(3)
    refuseBinds(0)
    await clock.advance(60_000)
    expect(await search()).toBe('ok')
    pool.close()
  })

  test('is bound anew after five minutes, and connections that nobody needs are closed', async () => {
    const { directory, clock, events, binds } = createSite([one])
    const pool = createPool({ servers: directory, service: { dn: 'cn=gate', password: 'x' }, clock, events })
    const used: LdapConnection[] = []
    const search = () =>
      pool.search((connection) => {
        used.push(connection)
        return connection.search(nothing)
      })
    for (let turn = 0; turn < 15; turn += 1) {
      await search()
      await clock.advance(20_000)
    }
    expect(binds()).toBe(1)
    await search()
    expect(binds()).toBe(2)
    await clock.advance(60_000)
    expect(used.map((connection) => connection.isOpen())).not.toContain(true)
    pool.close()
    expect(clock.pending()).toBe(0)
  })
})

describe('turns', () => {
  function createSmall() {
    const clock = createFakeClock()
    const { events, told } = recordEvents()
    const turns = createTurns({ maxConcurrent: 1, maxQueued: 2, maxWaitMs: 2_000, clock, events })
    const done: string[] = []
    const take = (name: string, rank: number) => {
      let end = (): void => undefined
      const ended = new Promise<void>((resolve) => {
        end = resolve
      })
      const taken = watch(
        turns.take(rank, async () => {
          done.push(name)
          await ended
        }),
      )
      return {
        taken,
        end: () => {
          end()
        },
      }
    }
    return { clock, told, turns, done, take }
  }

  test('come by rank, then in order', async () => {
    const { take, done } = createSmall()
    const first = take('first', 7)
    const second = take('second', 3)
    const third = take('third', 0)
    first.end()
    await settle()
    third.end()
    await settle()
    second.end()
    await settle()
    expect(done).toEqual(['first', 'third', 'second'])
  })

  test('end when they do not come in time', async () => {
    const { take, clock, told } = createSmall()
    take('first', 0)
    const { taken } = take('second', 0)
    await clock.advance(2_000)
    expect(taken()).toMatchObject({ kind: 'error', error: { fault: 'overloaded' } })
    expect(told('ldapTurnedAway')).toEqual(['queueWait'])
    expect(clock.pending()).toBe(0)
  })

  test('are taken from who has the worst rank when there are no more', async () => {
    const { take, told } = createSmall()
    take('first', 0)
    const worst = take('worst', 7)
    const bad = take('bad', 5)
    const good = take('good', 1)
    const late = take('late', 7)
    await settle()
    expect(worst.taken().kind).toBe('error')
    expect(late.taken().kind).toBe('error')
    expect([bad.taken().kind, good.taken().kind]).toEqual(['pending', 'pending'])
    expect(told('ldapTurnedAway')).toEqual(['queueFull', 'queueFull'])
  })

  test('are free again after a failure', async () => {
    const { turns } = createSmall()
    await expect(turns.take(0, () => Promise.reject(new Error('broken')))).rejects.toThrow('broken')
    expect(await turns.take(0, () => Promise.resolve('next'))).toBe('next')
  })

  test('end for all who wait at the end', async () => {
    const { take, turns, clock } = createSmall()
    take('first', 0)
    const { taken } = take('second', 0)
    turns.close()
    await settle()
    expect(taken().kind).toBe('error')
    expect(clock.pending()).toBe(0)
  })
})
