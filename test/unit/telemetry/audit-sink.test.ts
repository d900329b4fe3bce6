import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, open, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { openAuditSink } from '../../../src/telemetry/audit-sink.ts'
import { soonMs } from '../../support/until.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wharfgate-audit-'))
})
afterAll(() => rm(folder, { recursive: true }))

describe('a file as destination of the audit', () => {
  test('is made for its owner alone', async () => {
    const file = join(folder, 'made.log')
    const sink = await openAuditSink(file, new PassThrough())
    await sink.write(Buffer.from('{}\n'))
    await sink.close()
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    expect(await readFile(file, 'utf8')).toBe('{}\n')
  })

  test('is appended to', async () => {
    const file = join(folder, 'kept.log')
    await writeFile(file, 'before\n')
    const sink = await openAuditSink(file, new PassThrough())
    expect(await sink.write(Buffer.from('after\n'))).toBe(6)
    await sink.close()
    expect(await readFile(file, 'utf8')).toBe('before\nafter\n')
  })

  test('that cannot be opened is told at once', async () => {
    await expect(openAuditSink(join(folder, 'no/such/folder'), new PassThrough())).rejects.toThrow('ENOENT')
  })
})

type Ended = {
  readonly code: number | null
  readonly written: number
  readonly dropped: number
  readonly longestGapMs: number
}

/** `closeMs` is for lines that will never be taken; those that are need no deadline. */
function startChild(lines: number, stdout: 'pipe' | number, closeMs = soonMs) {
  const words = [join(import.meta.dirname, 'audit-child.ts'), String(lines), String(closeMs)]
  const child = spawn(process.execPath, words, { stdio: ['ignore', stdout, 'pipe'] })
  const ended = async (): Promise<Ended> => {
    const [said, closed] = await Promise.all([text(child.stderr as Readable), once(child, 'close')])
    const [code] = closed as readonly (number | null)[]
    const report = JSON.parse(said.trim().split('\n').at(-1) ?? '') as Omit<Ended, 'code'>
    return { code: code ?? null, ...report }
  }
  return { child, ended }
}

describe('standard output as destination of the audit', () => {
  test('gets every line through a pipe that is read', async () => {
    const { child, ended } = startChild(2_000, 'pipe')
    const [said, end] = await Promise.all([text(child.stdout as Readable), ended()])
    const ids = said
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { readonly requestId: string }).requestId)
    expect(ids).toEqual(Array.from({ length: 2_000 }, (_, index) => `r${index}`))
    expect(end).toMatchObject({ code: 0, written: 2_000, dropped: 0 })
  })

  test('whose reader has gone (EPIPE) costs lines, never the process', async () => {
    const { child, ended } = startChild(2_000, 'pipe')
    child.stdout?.destroy()
    const end = await ended()
    expect(end.code).toBe(0)
    expect(end.dropped).toBeGreaterThan(1_900)
    expect(end.written + end.dropped).toBe(2_000)
  })

  test('whose reader does not read stops nobody', async () => {
    const { child, ended } = startChild(20_000, 'pipe', 500)
    child.stdout?.pause()
    const end = await ended()
    expect(end.code).toBe(0)
    expect(end.dropped).toBeGreaterThan(9_000)
    expect(end.longestGapMs).toBeLessThan(soonMs)
  })

  test('that is a file gets every line', async () => {
    const file = join(folder, 'redirected.log')
    const handle = await open(file, 'w')
    const end = await startChild(2_000, handle.fd).ended()
    await handle.close()
    expect(end).toMatchObject({ code: 0, written: 2_000, dropped: 0 })
    expect((await readFile(file, 'utf8')).split('\n')).toHaveLength(2_001)
  })
})
