import { execFile } from 'node:child_process'
import { appendFileSync, mkdtempSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { WriteStream } from 'node:tty'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { auditCommand } from '../../../src/cli/audit.ts'
import { RegistryError } from '../../../src/registry/error.ts'
import { parseRegistryRequest } from '../../../src/registry/route.ts'
import { auditLine } from '../../../src/telemetry/audit-line.ts'
import type { ExchangeRecord } from '../../../src/telemetry/exchange-record.ts'
import { until } from '../../support/until.ts'
import { exchange } from '../telemetry/samples.ts'

let folder: string
let file: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'wharfgate-audit-tail-'))
  file = join(folder, 'audit.log')
})
afterEach(() => {
  rmSync(folder, { recursive: true, force: true })
})

const line = (differences: Partial<ExchangeRecord> = {}): string =>
  `${JSON.stringify(auditLine(exchange(differences)))}\n`
const numbered = (from: number, to: number): string =>
  Array.from({ length: to - from + 1 }, (_, index) => line({ requestId: `r${from + index}` })).join('')

type RunSettings = {
  readonly stdin?: string
  readonly env?: Readonly<Record<string, string>>
  readonly terminal?: object
}

/** Starts the command as a terminal would; `stdout.destroy` with an error is how its reader leaves. */
function start(args: readonly string[], { stdin = '', env = {}, terminal: tty }: RunSettings = {}) {
  const said = { stdout: '', stderr: '' }
  const stdout = new PassThrough()
  if (tty !== undefined) {
    Object.assign(stdout, { isTTY: true, getColorDepth: () => WriteStream.prototype.getColorDepth(tty) })
  }
  stdout.on('data', (chunk: Buffer) => void (said.stdout += chunk.toString()))
  const stderr = new PassThrough()
  stderr.on('data', (chunk: Buffer) => void (said.stderr += chunk.toString()))
  const terminal = { stdin: Readable.from([Buffer.from(stdin)]), stdout, stderr, env, exitCode: 0 }
  const audit = auditCommand(terminal)
  for (const command of audit.commands) command.exitOverride().configureOutput({ writeErr: () => undefined })
  const ended = audit.parseAsync(['node', 'audit', 'tail', ...args]).then(() => terminal.exitCode)
  return { said, ended, leave: (code = 'EPIPE') => stdout.destroy(Object.assign(new Error(code), { code })) }
}

async function run(args: readonly string[], settings?: RunSettings) {
  const { said, ended } = start(args, settings)
  const code = await ended
  await new Promise((resolve) => setImmediate(resolve))
  return { ...said, code, ids: idsOf(said.stdout) }
}

const idsOf = (text: string): readonly string[] =>
  text
    .split('\n')
    .slice(0, -1)
    .map((printed) => printed.split(' ').at(-1) ?? '')

describe('wharfgate audit tail', () => {
  test('prints when, what, who, how much and the request id', async () => {
    const digest = `sha256:${'ab'.repeat(32)}`
    const request = parseRegistryRequest('GET', `/v2/team/app/blobs/${digest}`)
    const failed = new RegistryError('credentialsInvalid', { attemptedUser: 'bob' })
    const nobody = { principal: undefined, decision: undefined, status: 401, error: failed, bytesDown: 0 }
    writeFileSync(
      file,
      [
        line(),
        line({ request, bytesDown: 25_100_000, durationMs: 3_400, outcome: 'aborted-by-client', requestId: 'r2' }),
        line({ ...nobody, request: parseRegistryRequest('GET', '/v2/'), requestId: 'r3' }),
        line({ ...nobody, request: undefined, error: undefined, path: '/v2/Nope', status: 400, requestId: 'r4' }),
      ].join(''),
    )
    const time = '2026-01-02T03:04:05.067Z'
    expect((await run([file])).stdout.split('\n')).toEqual([
      `${time} 200 pull team/app:latest by alice from 192.0.2.7 down 1.2 kB in 12 ms (docker/28.1.1) 0f9a`,
      `${time} 200 pull team/app@sha256:abababababab by alice from 192.0.2.7 down 25.1 MB in 3.4 s aborted-by-client (docker/28.1.1) r2`,
      `${time} 401 ping /v2/ by nobody (failed login of bob) from 192.0.2.7 in 12 ms credentialsInvalid (docker/28.1.1) r3`,
      `${time} 400 GET /v2/Nope by nobody from 192.0.2.7 in 12 ms (docker/28.1.1) r4`,
      '',
    ])
  })

  test('prints the last lines that match, as many as are wanted', async () => {
    writeFileSync(file, numbered(1, 50))
    expect((await run([file])).ids).toEqual(Array.from({ length: 20 }, (_, index) => `r${31 + index}`))
    expect((await run([file, '--lines', '2'])).ids).toEqual(['r49', 'r50'])
    expect((await run([file, '--lines', 'all'])).ids).toHaveLength(50)
    expect((await run([file, '--lines', '0'])).ids).toEqual([])
  })

  test.each([
    [
      ['--user', 'bob'],
      ['b', 'c'],
    ],
    [['--repository', 'team/app'], ['a']],
    [
      ['--repository', 'team/'],
      ['a', 'b'],
    ],
    [['--status', '404'], ['b']],
    [
      ['--status', '4xx'],
      ['b', 'c'],
    ],
    [['--status', 'none'], ['d']],
    [['--outcome', 'aborted-by-client'], ['d']],
    [['--user', 'bob', '--status', '401'], ['c']],
  ])('%j prints %j', async (args, expected) => {
    const error = new RegistryError('credentialsInvalid', { attemptedUser: 'bob' })
    const bob = { kind: 'user', name: 'bob', groups: [], method: 'htpasswd' } as const
    writeFileSync(
      file,
      [
        line({ requestId: 'a' }),
        line({
          requestId: 'b',
          principal: bob,
          status: 404,
          request: parseRegistryRequest('GET', '/v2/team/x/tags/list'),
        }),
        line({
          requestId: 'c',
          principal: undefined,
          status: 401,
          error,
          request: parseRegistryRequest('GET', '/v2/'),
        }),
        line({ requestId: 'd', status: undefined, outcome: 'aborted-by-client', request: undefined }),
      ].join(''),
    )
    expect((await run([file, ...args])).ids).toEqual(expected)
  })

  test.each([
    ['--status', '999'],
    ['--status', 'ok'],
    ['--lines', 'many'],
    ['--outcome', 'broken'],
  ])('refuses %s %s', async (...args) => {
    await expect(run([file, ...args])).rejects.toThrow(/invalid/)
  })

  test('reads standard input', async () => {
    expect((await run(['-'], { stdin: numbered(1, 3) })).ids).toEqual(['r1', 'r2', 'r3'])
    expect((await run(['-', '--follow'], { stdin: numbered(1, 3) })).ids).toEqual(['r1', 'r2', 'r3'])
  })

  test('skips what is no line of the audit, and says how much that was', async () => {
    const long = `{"time":"${'x'.repeat(2_000_000)}`
    writeFileSync(
      file,
      `not json\n${line({ requestId: 'r1' })}{"a":1}\n\n${long}\n[1]\n${line({ requestId: 'r2' })}{"torn":`,
    )
    const { ids, stderr, code } = await run([file])
    expect(ids).toEqual(['r1', 'r2'])
    expect(stderr).toBe('wharfgate: skipped 5 lines that are not of the audit\n')
    expect(code).toBe(0)
  })

  test('prints a last line that nobody has ended', async () => {
    writeFileSync(file, numbered(1, 2).trimEnd())
    expect((await run([file])).ids).toEqual(['r1', 'r2'])
  })

  test('keeps what clients sent from the terminal, whoever wrote the file', async () => {
    const forged = JSON.stringify({
      ...auditLine(exchange()),
      userAgent: '\u001b]0;owned\u0007\u009b31m\u202e\nfake',
      user: 'a\u001b[2Jb',
    })
    writeFileSync(file, `${forged}\n`)
    const { stdout } = await run([file])
    expect(stdout.slice(0, -1)).not.toMatch(/[\p{Cc}\p{Bidi_Control}]/u)
    expect(stdout).toContain('by a[2Jb ')
  })

  test('has colours on a terminal only, and not where NO_COLOR is set', async () => {
    writeFileSync(file, line())
    expect((await run([file])).stdout).not.toContain('\u001b')
    expect((await run([file], { terminal: { TERM: 'xterm-256color' } })).stdout).toContain('\u001b[32m200')
    const noColor = { TERM: 'xterm-256color', NO_COLOR: '1' }
    expect((await run([file], { terminal: noColor })).stdout).not.toContain('\u001b')
  })
})

describe('where the audit is', () => {
  const least =
    'publicUrls: [https://a.example.org]\nupstream: { url: "http://127.0.0.1:5000" }\nauthentication: { htpasswd: { enabled: true, file: h } }\n'

  test('is read from the configuration', async () => {
    writeFileSync(file, numbered(1, 1))
    const config = join(folder, 'w.yaml')
    writeFileSync(config, `${least}audit: { destination: audit.log }\n`)
    expect((await run(['--config', config])).ids).toEqual(['r1'])
  })

  test.each([
    ['standard output', least, 'pipe it in'],
    ['nowhere', `${least}audit: { enabled: false }\n`, 'audit.enabled is false'],
    ['not to be known', 'nonsense: 1\n', 'wharfgate check --config'],
  ])('is said where that is %s', async (_where, text, sentence) => {
    const config = join(folder, 'w.yaml')
    writeFileSync(config, text)
    const { code, stderr } = await run(['--config', config])
    expect(stderr).toContain(sentence)
    expect(code).toBe(1)
  })

  test('is exit code 1 where the file is not there, or no file', async () => {
    const missing = await run([join(folder, 'missing')])
    expect([missing.code, missing.stderr]).toEqual([1, expect.stringContaining('ENOENT')])
    expect((await run([folder])).code).toBe(1)
  })
})

describe('wharfgate audit tail --follow', () => {
  test('prints what is appended, whole lines only', async () => {
    writeFileSync(file, numbered(1, 30))
    const { said, ended, leave } = start([file, '--follow', '--lines', '2'])
    await until(() => idsOf(said.stdout).length === 2, { what: 'the last lines' })
    const half = line({ requestId: 'r31' })
    appendFileSync(file, half.slice(0, 100))
    appendFileSync(file, half.slice(100) + numbered(32, 32))
    await until(() => idsOf(said.stdout).length === 4, { what: 'the new lines' })
    expect(idsOf(said.stdout)).toEqual(['r29', 'r30', 'r31', 'r32'])
    leave()
    expect(await ended).toBe(0)
    expect(said.stderr).toBe('')
  })

  test('goes on through rotations by renaming, the last words of the old file included', async () => {
    writeFileSync(file, numbered(1, 1))
    const { said, ended, leave } = start([file, '--follow'])
    await until(() => idsOf(said.stdout).length === 1, { what: 'the first line' })
    for (let rotation = 1; rotation <= 3; rotation++) {
      const old = `${file}.${rotation}`
      renameSync(file, old)
      appendFileSync(old, numbered(rotation * 10, rotation * 10))
      writeFileSync(file, numbered(rotation * 10 + 1, rotation * 10 + 1))
      await until(() => said.stdout.includes(` r${rotation * 10 + 1}\n`), { what: 'the new file' })
    }
    expect(idsOf(said.stdout)).toEqual(['r1', 'r10', 'r11', 'r20', 'r21', 'r30', 'r31'])
    leave()
    expect(await ended).toBe(0)
  })

  test('goes on through rotations by truncating', async () => {
    writeFileSync(file, numbered(1, 3))
    const { said, ended, leave } = start([file, '--follow'])
    await until(() => idsOf(said.stdout).length === 3, { what: 'the first lines' })
    truncateSync(file)
    appendFileSync(file, numbered(4, 4))
    await until(() => idsOf(said.stdout).length === 4, { what: 'the line after' })
    leave()
    expect(await ended).toBe(0)
  })

  test('waits for a file that is not there yet', async () => {
    const { said, ended, leave } = start([file, '--follow'])
    await until(() => said.stderr.includes('waiting for it'), { what: 'the note' })
    writeFileSync(file, numbered(1, 1))
    await until(() => idsOf(said.stdout).length === 1, { what: 'the line' })
    leave()
    expect(await ended).toBe(0)
  })

  test('says what keeps it from writing, other than a reader who left', async () => {
    writeFileSync(file, numbered(1, 1))
    const { said, ended, leave } = start([file, '--follow'])
    await until(() => idsOf(said.stdout).length === 1, { what: 'the line' })
    leave('ENOSPC')
    expect(await ended).toBe(1)
    expect(said.stderr).toContain('ENOSPC')
  })
})

test('the installed command is quiet when its reader leaves', async () => {
  writeFileSync(file, numbered(1, 5_000))
  const command = join(import.meta.dirname, '../../../bin/wharfgate.js')
  const script = `"${process.execPath}" "${command}" audit tail --lines all "${file}" | head -n 1; exit "\${PIPESTATUS[0]}"`
  const [stdout, stderr] = await new Promise<readonly [string, string]>((resolve, reject) => {
    execFile('bash', ['-c', script], (error, ...said) => {
      if (error === null) resolve(said)
      else reject(new Error(error.message))
    })
  })
  expect(idsOf(stdout)).toEqual(['r1'])
  expect(stderr).toBe('')
})
