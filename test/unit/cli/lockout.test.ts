import { afterEach, describe, expect, test } from '@jest/globals'
import { lockoutCommand } from '../../../src/cli/lockout.ts'
import type { LockedAddress } from '../../../src/authentication/lockout.ts'
import { startAdminSite } from './admin-terminal.ts'
import type { AdminSite } from './admin-terminal.ts'

let site: AdminSite
afterEach(() => site.close())

const everybody: readonly LockedAddress[] = [
  { address: '192.0.2.7', lockedMs: 899_001, failures: 63, lockedUsers: 3 },
  { address: '2001:db8::/64', lockedMs: 0, failures: 6, lockedUsers: 1 },
  { address: '192.0.2.8', lockedMs: 0, failures: 20, lockedUsers: 2 },
]

async function start(locked: readonly LockedAddress[] = everybody, cleared = 1, isShared = true) {
  const asked: unknown[] = []
  const lockout = {
    list: () => Promise.resolve(locked),
    clear: (selection: unknown) => {
      asked.push(selection)
      return Promise.resolve(cleared)
    },
  }
  site = await startAdminSite({ isShared, lockout }, lockoutCommand)
  return asked
}

describe('wharfgate lockout list', () => {
  test('prints who is locked out and for how long', async () => {
    await start()
    expect(await site.run(['list'])).toEqual({
      stdout: [
        'address        who is refused  wrong passwords  for',
        '192.0.2.7      everybody new   63               15 min',
        '2001:db8::/64  1 user          6                -',
        '192.0.2.8      2 users         20               -',
        '',
      ].join('\n'),
      stderr: '',
      code: 0,
    })
  })

  test('says that nobody is, and where only one gateway knows', async () => {
    await start([], 0, false)
    expect(await site.run(['list'])).toMatchObject({
      stdout: 'nobody is locked out\nknown to this gateway alone, since redis.enabled is false\n',
      code: 0,
    })
  })

  test('--json prints what the gateway answered', async () => {
    await start()
    const { stdout } = await site.run(['list', '--json'])
    expect(JSON.parse(stdout)).toEqual({
      isShared: true,
      locked: [
        { address: '192.0.2.7', lockedSeconds: 900, failures: 63, lockedUsers: 3 },
        { address: '2001:db8::/64', lockedSeconds: 0, failures: 6, lockedUsers: 1 },
        { address: '192.0.2.8', lockedSeconds: 0, failures: 20, lockedUsers: 2 },
      ],
    })
  })

  test('ends with 1 and what switches it on where the lockout is off', async () => {
    site = await startAdminSite({}, lockoutCommand)
    expect(await site.run(['list'])).toMatchObject({ stderr: expect.stringContaining('lockout.enabled'), code: 1 })
  })
})

describe('wharfgate lockout clear', () => {
  test.each<[words: readonly string[], asked: unknown]>([
    [['--address', '192.0.2.7'], { address: '192.0.2.7' }],
    [['--address', '2001:db8::/64'], { address: '2001:db8::' }],
    [['--user', 'c i+bot'], { user: 'c i+bot' }],
    [['--user', 'bob', '--address', '192.0.2.7'], { address: '192.0.2.7', user: 'bob' }],
    [['--all'], {}],
  ])('%j is asked for and told', async (words, selection) => {
    const asked = await start()
    expect(await site.run(['clear', ...words])).toEqual({
      stdout: 'wrong passwords from 1 address are forgotten\n',
      stderr: '',
      code: 0,
    })
    expect(asked).toEqual([selection])
  })

  test.each<[cleared: number, words: readonly string[], stdout: string]>([
    [2, [], 'wrong passwords from 2 addresses are forgotten\n'],
    [0, [], 'there was nothing to forget; wharfgate lockout list shows what is locked\n'],
    [2, ['--json'], '{"isShared":true,"cleared":2}\n'],
  ])('tells that %i are cleared', async (cleared, words, stdout) => {
    await start([], cleared)
    expect(await site.run(['clear', '--all', ...words])).toEqual({ stdout, stderr: '', code: 0 })
  })

  test.each<[words: readonly string[], sentence: string]>([
    [[], 'say what to clear: --address A, --user U or both, or --all'],
    [['--all', '--user', 'bob'], 'say what to clear: --address A, --user U or both, or --all'],
    [['--address', 'somewhere'], 'address must be an address, such as 192.0.2.7 or 2001:db8::/64'],
    [['--user', ''], 'user must not be empty'],
  ])('%j clears nothing and says what is right', async (words, sentence) => {
    const asked = await start()
    const said = await site.run(['clear', ...words])
    expect(said).toMatchObject({ stdout: '', stderr: expect.stringContaining(sentence), code: 1 })
    expect(asked).toEqual([])
  })
})
