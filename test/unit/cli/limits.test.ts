import { afterEach, describe, expect, test } from '@jest/globals'
import { limitsCommand } from '../../../src/cli/limits.ts'
import type { BucketState } from '../../../src/rate-limit/bucket-state.ts'
import { everybody, groupIdentity, userIdentity } from '../../../src/rate-limit/identity.ts'
import type { RateLimit } from '../../../src/rate-limit/rate-limit.ts'
import { StoreError } from '../../../src/store/store.ts'
import { startAdminSite } from './admin-terminal.ts'
import type { AdminSite } from './admin-terminal.ts'

let site: AdminSite
afterEach(() => site.close())

const everybodyHere = {
  users: [],
  groups: [],
  anonymous: true,
  exemptUsers: [],
  exemptGroups: [],
  exemptAddresses: [],
} as const
const sixHours = { quota: 1000, windowSeconds: 21_600, burst: 1000 } as const
const aDay = { quota: 21_474_836_480, windowSeconds: 86_400, burst: 21_474_836_480, onExceeded: 'refuse' } as const
const alice = userIdentity('alice')

const pulls: BucketState = {
  bucket: { ...everybodyHere, name: 'pulls-per-user', scope: 'user', class: 'pull', unit: 'requests', ...sixHours },
  identity: alice,
  remaining: 964,
  nextMs: 300,
  wholeMs: 777_001,
  waitMs: 0,
}
const buckets: readonly BucketState[] = [
  pulls,
  {
    ...pulls,
    bucket: {
      ...pulls.bucket,
      name: 'pushes',
      class: 'push',
      unit: 'requests',
      quota: 1,
      windowSeconds: 3600,
      burst: 1,
    },
    remaining: 1,
    wholeMs: 0,
  },
  {
    ...pulls,
    bucket: {
      ...everybodyHere,
      name: 'down',
      scope: 'group',
      class: 'pull',
      unit: 'bytes',
      direction: 'down',
      ...aDay,
    },
    identity: groupIdentity('build\u001b[31m'),
    remaining: 3_500_000_000,
  },
  {
    ...pulls,
    bucket: { ...everybodyHere, name: 'up', scope: 'user', class: 'push', unit: 'bytes', direction: 'up', ...aDay },
    remaining: 0,
    wholeMs: 86_400_000,
  },
  {
    ...pulls,
    bucket: { ...everybodyHere, name: 'transfers', scope: 'global', class: 'pull', unit: 'concurrent', quota: 20 },
    identity: everybody,
    remaining: 17,
    wholeMs: undefined,
  },
]

/** A gateway whose alice has these limits; `reset` answers with what it was asked. */
async function start(limits: Partial<Pick<RateLimit, 'show' | 'reset'>> = {}, isShared = true) {
  const asked: unknown[] = []
  site = await startAdminSite(
    {
      isShared,
      limits: {
        show: (user) => Promise.resolve(user === 'alice' ? buckets : []),
        reset: (...words) => {
          asked.push(words)
          return Promise.resolve(words[0] === 'alice' ? ['pulls-per-user', 'pushes'] : [])
        },
        ...limits,
      },
    },
    limitsCommand,
  )
  return asked
}

const table = [
  'limit           counts             allows                    left    whole again in',
  'pulls-per-user  user alice         1000 pulls in 6 hours     964     13 min',
  'pushes          user alice         1 push in 1 hour          1       now',
  'down            group build[31m    20 GiB down in 1 day       3.5 GB  13 min',
  'up              user alice         20 GiB up in 1 day          0       24 h',
  'transfers       all together       20 transfers at one time  17      -',
  '',
]

describe('wharfgate limits show', () => {
  test('prints what is left of each limit, without control characters', async () => {
    await start()
    const said = await site.run(['show', '--user', 'alice'])
    expect(said).toMatchObject({ stderr: '', code: 0 })
    expect(said.stdout.replaceAll(/ {2,}/g, '|')).toBe(table.join('\n').replaceAll(/ {2,}/g, '|'))
  })

  test.each<[title: string, variables: object, bold: boolean]>([
    ['a terminal', { TERM: 'xterm-256color' }, true],
    ['a terminal of somebody who wants no colours', { TERM: 'xterm-256color', NO_COLOR: '1' }, false],
  ])('for %s the head is set apart or not', async (_title, terminal, bold) => {
    await start()
    const { stdout } = await site.run(['show', '--user', 'alice'], { terminal })
    expect(stdout.startsWith(bold ? '\u001b[1mlimit' : 'limit ')).toBe(true)
  })

  test('a narrow terminal gets several tables, each with the names', async () => {
    await start()
    const { stdout } = await site.run(['show', '--user', 'alice'], { columns: 50 })
    expect(stdout.match(/^pulls-per-user/gm)?.length).toBeGreaterThan(1)
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(50)
  })

  test('--json prints what the gateway answered', async () => {
    await start()
    const { stdout } = await site.run(['show', '--user', 'alice', '--json'])
    expect(JSON.parse(stdout)).toMatchObject({
      user: 'alice',
      isShared: true,
      limits: [
        {
          bucket: 'pulls-per-user',
          scope: 'user',
          subject: 'alice',
          class: 'pull',
          unit: 'requests',
          quota: 1000,
          windowSeconds: 21_600,
          quotaText: '1000 pulls in 6 hours',
          remaining: 964,
          resetSeconds: 778,
        },
        { bucket: 'pushes', resetSeconds: 0 },
        { bucket: 'down', scope: 'group', subject: 'build\u001b[31m', unit: 'bytes' },
        { bucket: 'up', remaining: 0 },
        { bucket: 'transfers', scope: 'global', subject: null, windowSeconds: null, resetSeconds: null },
      ],
    })
  })

  test('says that no limit counts a user', async () => {
    await start()
    expect(await site.run(['show', '--user', 'bob'])).toEqual({
      stdout: 'no limit counts bob\n',
      stderr: '',
      code: 0,
    })
  })

  test('says where the counters are not those of all gateways', async () => {
    await start({}, false)
    const { stdout } = await site.run(['show', '--user', 'alice'])
    expect(stdout).toMatch(/\ncounted by this gateway alone, since redis\.enabled is false\n$/)
  })

  test.each<[title: string, show: RateLimit['show'], sentence: string]>([
    ['Redis does not answer', () => Promise.reject(new StoreError('down', 'gone')), 'Redis does not answer (down)'],
    [
      'the answer is of another version',
      () => Promise.resolve([{ ...pulls, remaining: Number.NaN }]),
      "use the wharfgate command of the gateway's own version",
    ],
  ])('ends with 1 and the reason when %s', async (_title, show, sentence) => {
    await start({ show })
    const said = await site.run(['show', '--user', 'alice'])
    expect(said).toMatchObject({ stdout: '', stderr: expect.stringContaining(sentence), code: 1 })
  })

  test('ends with 1 and what switches them on where limits are off', async () => {
    site = await startAdminSite({}, limitsCommand)
    const said = await site.run(['show', '--user', 'alice'])
    expect(said).toMatchObject({ stdout: '', stderr: expect.stringContaining('rateLimit.enabled'), code: 1 })
  })

  test('needs the name of a user', async () => {
    await start()
    await expect(site.run(['show'])).rejects.toMatchObject({ code: 'commander.missingMandatoryOptionValue' })
    const { stderr, code } = await site.run(['show', '--user', 'a:b'])
    expect({ stderr, code }).toEqual({ stderr: expect.stringContaining('user must not contain a colon'), code: 1 })
  })
})

describe('wharfgate limits reset', () => {
  test.each<[words: readonly string[], asked: unknown, stdout: string]>([
    [['--user', 'alice'], ['alice', undefined], 'whole again for alice: pulls-per-user, pushes\n'],
    [['--user', 'alice', '--bucket', 'pushes'], ['alice', 'pushes'], 'whole again for alice: pulls-per-user, pushes\n'],
    [['--user', 'bob'], ['bob', undefined], 'no limit counts bob alone; nothing was reset\n'],
    [
      ['--user', 'alice', '--json'],
      ['alice', undefined],
      '{"user":"alice","isShared":true,"reset":["pulls-per-user","pushes"]}\n',
    ],
  ])('%j is asked for and told', async (words, question, stdout) => {
    const asked = await start()
    expect(await site.run(['reset', ...words])).toEqual({ stdout, stderr: '', code: 0 })
    expect(asked).toEqual([question])
  })

  test('ends with 1 and a cure where no such limit counts the user', async () => {
    await start()
    const said = await site.run(['reset', '--user', 'bob', '--bucket', 'pushes'])
    expect(said).toMatchObject({ stderr: expect.stringContaining('wharfgate limits show --user bob'), code: 1 })
  })
})
