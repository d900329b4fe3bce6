import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { openAuditFile } from '../../../src/telemetry/audit-file.ts'
import type { AuditSink } from '../../../src/telemetry/audit-sink.ts'
import { createAudit } from '../../../src/telemetry/audit.ts'
import { systemClock } from '../../../src/telemetry/clock.ts'
import { parseRegistryRequest } from '../../../src/registry/route.ts'
import { describeOnSmallDisk } from '../../support/small-disk.ts'
import { soonMs, until } from '../../support/until.ts'
import { exchange, keepLog } from './samples.ts'

let folder: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'wharfgate-audit-file-'))
  path = join(folder, 'audit.log')
})
afterEach(() => {
  rmSync(folder, { recursive: true, force: true })
})

const push = parseRegistryRequest('PUT', '/v2/team/app/manifests/latest')

/** An audit with the time and the files of the machine. */
function auditOn(sink: AuditSink) {
  const counted = { written: 0, dropped: 0 }
  const log = keepLog()
  const audit = createAudit({
    sink,
    log: log.log,
    metrics: {
      auditWritten: (lines) => void (counted.written += lines),
      auditDropped: (lines) => void (counted.dropped += lines),
      auditUp: () => undefined,
      auditFaultRequest: () => undefined,
    },
    clock: systemClock,
    onFailure: { writes: 'block', reads: 'allow' },
  })
  let recorded = 0
  /** Records lines with the next numbers as their ids. */
  const record = (count: number): void => {
    for (let index = 0; index < count; index++) audit.record(exchange({ requestId: `r${recorded++}` }))
  }
  const all = (): readonly string[] => Array.from({ length: recorded }, (_, index) => `r${index}`)
  return { audit, counted, log, record, all }
}

/** The ids of the lines of a file; fails at a torn line. */
function idsOf(file: string): readonly string[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => (JSON.parse(line) as { readonly requestId: string }).requestId)
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('rotation of the audit file', () => {
  test('by renaming loses and doubles no line, over 100 rotations under load and without a signal', async () => {
    const { audit, counted, record, all } = auditOn(await openAuditFile(path))
    for (let rotation = 0; rotation < 100; rotation++) {
      record(50)
      await settled()
      record(50)
      await until(() => statSync(path).size > 0, { what: 'lines to be written', intervalMs: 1 })
      renameSync(path, join(folder, `audit.log.${String(rotation).padStart(3, '0')}`))
    }
    record(10)
    await audit.close(soonMs)
    const files = readdirSync(folder).sort()
    const rotated = files.filter((name) => name !== 'audit.log').concat(existsSync(path) ? ['audit.log'] : [])
    expect(rotated.flatMap((name) => idsOf(join(folder, name)))).toEqual(all())
    expect(counted).toEqual({ written: 10_010, dropped: 0 })
  })

  test('by renaming and a signal loses and doubles no line either', async () => {
    const { audit, record, all } = auditOn(await openAuditFile(path))
    const names: string[] = []
    for (let rotation = 0; rotation < 100; rotation++) {
      record(100)
      await settled()
      const name = join(folder, `audit.log.${rotation}`)
      renameSync(path, name)
      names.push(name)
      audit.reopen()
      await until(() => existsSync(path), { what: 'the file to be made anew', intervalMs: 1 })
    }
    await audit.close(soonMs)
    expect([...names, path].flatMap(idsOf)).toEqual(all())
  })

  test('by copying and truncating goes on at the beginning, without a hole', async () => {
    const { audit, counted, record, all } = auditOn(await openAuditFile(path))
    const copies: string[] = []
    for (let rotation = 1; rotation <= 100; rotation++) {
      record(10)
      await until(() => counted.written === rotation * 10, { what: 'lines to be written', intervalMs: 1 })
      copies.push(...idsOf(path))
      truncateSync(path)
    }
    record(1)
    await audit.close(soonMs)
    expect([...copies, ...idsOf(path)]).toEqual(all())
    expect(readFileSync(path, 'utf8')[0]).toBe('{')
  })

  test('is seen where the path is a link that was pointed elsewhere', async () => {
    const [one, other] = [join(folder, 'one'), join(folder, 'other')]
    symlinkSync(one, path)
    const sink = await openAuditFile(path)
    await sink.write(Buffer.from('1\n'))
    rmSync(path)
    symlinkSync(other, path)
    await sink.write(Buffer.from('2\n'))
    await sink.close()
    expect([readFileSync(one, 'utf8'), readFileSync(other, 'utf8')]).toEqual(['1\n', '2\n'])
  })

  test('makes the new file for its owner alone, and leaves the mode of one that is there', async () => {
    const sink = await openAuditFile(path)
    rmSync(path)
    await sink.write(Buffer.from('1\n'))
    expect(statSync(path).mode & 0o777).toBe(0o600)
    rmSync(path)
    writeFileSync(path, '')
    chmodSync(path, 0o640)
    await sink.write(Buffer.from('2\n'))
    await sink.close()
    expect(statSync(path).mode & 0o777).toBe(0o640)
    expect(readFileSync(path, 'utf8')).toBe('2\n')
  })
})

describe('an audit file that cannot be written', () => {
  test('because its folder is gone refuses pushes until it is back, and loses nothing', async () => {
    const deep = join(folder, 'deep')
    mkdirSync(deep)
    const { audit, record, all, counted, log } = auditOn(await openAuditFile(join(deep, 'audit.log')))
    rmSync(deep, { recursive: true })
    record(3)
    await until(() => !audit.admits(push), { what: 'pushes to be refused' })
    mkdirSync(deep)
    await until(() => audit.admits(push), { what: 'pushes to be let in' })
    await audit.close(soonMs)
    expect(idsOf(join(deep, 'audit.log'))).toEqual(all())
    expect(counted).toEqual({ written: 3, dropped: 0 })
    expect(log.entries()).toMatchObject([{ level: 'error', error: { code: 'ENOENT' } }, { level: 'warn' }])
  })

  test('because the device is full is told by its error', async () => {
    symlinkSync('/dev/full', path)
    const { audit, record, counted, log } = auditOn(await openAuditFile(path))
    record(3)
    await until(() => !audit.admits(push), { what: 'pushes to be refused' })
    await audit.close(1_000)
    expect(counted).toEqual({ written: 0, dropped: 3 })
    expect(log.entries()[0]).toMatchObject({ error: { code: 'ENOSPC' } })
  })

  test('because it is a named pipe that nobody reads is told at the start instead of waited for', async () => {
    execFileSync('mkfifo', [path])
    await expect(openAuditFile(path)).rejects.toThrow('ENXIO')
  })
})

describeOnSmallDisk(128 * 1024, 'an audit file on a disk that is full', (directory) => {
  let file: string
  let ballast: string
  beforeEach(() => {
    for (const name of readdirSync(directory())) rmSync(join(directory(), name))
    file = join(directory(), 'audit.log')
    ballast = join(directory(), 'ballast')
  })
  /** Leaves room for some lines and a part of one. */
  const fillUp = (): void => {
    writeFileSync(ballast, '')
    for (const size of [4_096, 1]) {
      try {
        for (;;) appendFileSync(ballast, 'b'.repeat(size))
      } catch {
        // Full to the last byte of this step.
      }
    }
  }
  test('refuses pushes, ends the line it stopped in, and goes on when there is space', async () => {
    const { audit, record, all, counted, log } = auditOn(await openAuditFile(file))
    fillUp()
    truncateSync(ballast, statSync(ballast).size - 4_096)
    record(50)
    await until(() => !audit.admits(push), { what: 'pushes to be refused' })
    expect(readFileSync(file, 'utf8').endsWith('\n')).toBe(false)
    record(50)
    rmSync(ballast)
    await until(() => audit.admits(push), { what: 'pushes to be let in' })
    await audit.close(soonMs)
    expect(idsOf(file)).toEqual(all())
    expect(counted).toEqual({ written: 100, dropped: 0 })
    expect(log.entries()).toMatchObject([
      { level: 'error', error: { code: 'ENOSPC' } },
      { level: 'warn', dropped: 0 },
    ])
  })

  test('ends that line in the file it was begun in, when the file is renamed meanwhile', async () => {
    const { audit, record, all } = auditOn(await openAuditFile(file))
    fillUp()
    truncateSync(ballast, statSync(ballast).size - 4_096)
    record(50)
    await until(() => !audit.admits(push), { what: 'pushes to be refused' })
    renameSync(file, `${file}.1`)
    audit.reopen()
    rmSync(ballast)
    await until(() => audit.admits(push), { what: 'pushes to be let in' })
    record(10)
    await audit.close(soonMs)
    expect(idsOf(`${file}.1`).concat(idsOf(file))).toEqual(all())
    expect(idsOf(file).length).toBeGreaterThan(0)
  })

  test.each([
    ['removed', () => rmSync(file)],
    ['emptied', () => truncateSync(file)],
  ])('writes that line whole when its beginning is gone because the file was %s', async (_how, lose) => {
    const { audit, record, all, counted } = auditOn(await openAuditFile(file))
    fillUp()
    truncateSync(ballast, statSync(ballast).size - 4_096)
    record(50)
    await until(() => !audit.admits(push), { what: 'pushes to be refused' })
    const lost = counted.written
    lose()
    rmSync(ballast)
    await audit.close(soonMs)
    expect(idsOf(file)).toEqual(all().slice(lost))
  })
})

describe('a line that a crash left without an end', () => {
  test('is ended when the file is opened, so that the next is whole', async () => {
    appendFileSync(path, '{"whole":1}\n{"torn":')
    const sink = await openAuditFile(path)
    await sink.write(Buffer.from('{"next":1}\n'))
    await sink.close()
    expect(readFileSync(path, 'utf8')).toBe('{"whole":1}\n{"torn":\n{"next":1}\n')
  })

  test('is ended in a file that comes into place later too', async () => {
    const sink = await openAuditFile(path)
    rmSync(path)
    appendFileSync(path, '{"torn":')
    await sink.write(Buffer.from('{"next":1}\n'))
    await sink.close()
    expect(readFileSync(path, 'utf8')).toBe('{"torn":\n{"next":1}\n')
  })
})
