import { describe, expect, test } from '@jest/globals'
import { parseRegistryRequest } from '../../../src/registry/route.ts'
import type { AuditFailureSettings } from '../../../src/telemetry/audit-condition.ts'
import type { AuditLimits } from '../../../src/telemetry/audit-queue.ts'
import { createAudit } from '../../../src/telemetry/audit.ts'
import type { Audit } from '../../../src/telemetry/audit.ts'
import type { AuditSink } from '../../../src/telemetry/audit-sink.ts'
import { createManualClock } from './manual-clock.ts'
import { exchange, keepLog } from './samples.ts'

type Trial = {
  readonly audit: Audit
  readonly clock: ReturnType<typeof createManualClock>
  readonly log: ReturnType<typeof keepLog>
  readonly counted: { written: number; dropped: number }
  /** What the gauge was set to, and how requests were judged meanwhile. */
  readonly ups: boolean[]
  readonly judged: string[]
}

type TrialSettings = { readonly limits?: AuditLimits; readonly onFailure?: AuditFailureSettings }

function trial(
  sink: AuditSink,
  { limits, onFailure = { writes: 'block', reads: 'allow' } }: TrialSettings = {},
): Trial {
  const clock = createManualClock()
  const log = keepLog()
  const counted = { written: 0, dropped: 0 }
  const ups: boolean[] = []
  const judged: string[] = []
  const metrics = {
    auditWritten: (lines: number) => void (counted.written += lines),
    auditDropped: (lines: number) => void (counted.dropped += lines),
    auditUp: (up: boolean) => void ups.push(up),
    auditFaultRequest: (access: string, verdict: string) => void judged.push(`${access} ${verdict}`),
  }
  const dependencies = { sink, log: log.log, metrics, clock, onFailure }
  const audit = createAudit(limits === undefined ? dependencies : { ...dependencies, limits })
  return { audit, clock, log, counted, ups, judged }
}

/** A destination that keeps what it gets, and does what a test says with each write. */
function keepSink(onWrite: (chunk: Uint8Array) => number | Promise<number> = (chunk) => chunk.length) {
  const chunks: Buffer[] = []
  let closed = false
  let reopened = 0
  const sink: AuditSink = {
    maxChunkBytes: 4096,
    write: async (chunk) => {
      const taken = await onWrite(chunk)
      chunks.push(Buffer.from(chunk.subarray(0, taken)))
      return taken
    },
    reopen: () => {
      reopened += 1
      return Promise.resolve()
    },
    close: () => {
      closed = true
      return Promise.resolve()
    },
  }
  const text = (): string => Buffer.concat(chunks).toString()
  const ids = (): readonly unknown[] =>
    text()
      .split('\n')
      .slice(0, -1)
      .map((line) => (JSON.parse(line) as Readonly<Record<string, unknown>>)['requestId'])
  return { sink, chunks, text, ids, isClosed: () => closed, reopened: () => reopened }
}

const push = parseRegistryRequest('PUT', '/v2/team/app/manifests/latest')
const pull = parseRegistryRequest('GET', '/v2/team/app/manifests/latest')

/** A destination that takes everything, nothing, or does not answer, as the test says at the moment. */
function fickleSink() {
  let mood: 'works' | 'full' | 'hangs' = 'works'
  let release = (): void => undefined
  const kept = keepSink(async (chunk) => {
    if (mood === 'full') throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
    if (mood === 'hangs') await new Promise<void>((resolve) => (release = resolve))
    return chunk.length
  })
  return {
    ...kept,
    is: (next: typeof mood) => void (mood = next),
    release: () => {
      release()
    },
  }
}

const numbered = (count: number, from = 0): readonly string[] => Array.from({ length: count }, (_, i) => `r${from + i}`)

function recordAll(audit: Audit, ids: readonly string[]): void {
  for (const requestId of ids) audit.record(exchange({ requestId }))
}

/** Lets everything that is ready to go on do so. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

describe('the audit', () => {
  test('writes every line whole and in order, whatever the load', async () => {
    const kept = keepSink(async (chunk) => {
      if (kept.chunks.length % 7 === 0) await settled()
      return chunk.length
    })
    const { audit, counted } = trial(kept.sink)
    const ids = numbered(5_000)
    for (let start = 0; start < ids.length; start += 500) {
      recordAll(audit, ids.slice(start, start + 500))
      await settled()
    }
    await audit.close(1_000)
    expect(kept.ids()).toEqual(ids)
    expect(counted).toEqual({ written: 5_000, dropped: 0 })
    expect(kept.isClosed()).toBe(true)
  })

  test('ends every write with a line and keeps it as small as the destination wants it', async () => {
    const kept = keepSink()
    const { audit } = trial(kept.sink)
    recordAll(audit, numbered(100))
    await audit.close(1_000)
    expect(kept.chunks.length).toBeGreaterThan(5)
    expect(kept.chunks.filter((chunk) => chunk.length > 4096 || chunk.at(-1) !== 10)).toEqual([])
  })

  test('writes the first line at once, and together what comes within twenty milliseconds of it', async () => {
    const kept = keepSink()
    const { audit, clock } = trial(kept.sink)
    recordAll(audit, ['r0'])
    await settled()
    expect(kept.ids()).toEqual(['r0'])
    recordAll(audit, ['r1', 'r2'])
    clock.advance(19)
    await settled()
    expect(kept.ids()).toEqual(['r0'])
    clock.advance(1)
    await settled()
    expect(kept.ids()).toEqual(['r0', 'r1', 'r2'])
    expect(kept.chunks).toHaveLength(2)
  })

  test('goes on where a short write stopped', async () => {
    const kept = keepSink((chunk) => Math.min(chunk.length, 100))
    const { audit } = trial(kept.sink)
    recordAll(audit, numbered(20))
    await audit.close(1_000)
    expect(kept.ids()).toEqual(numbered(20))
  })

  test('tears no line when the disk fills up in the middle of one, and catches up when there is room', async () => {
    let room = 900
    const kept = keepSink((chunk) => {
      if (room === 0) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
      const taken = Math.min(chunk.length, room)
      room -= taken
      return taken
    })
    const { audit, clock, counted, log } = trial(kept.sink)
    recordAll(audit, numbered(10))
    await settled()
    for (let tries = 0; tries < 5; tries++) {
      clock.advance(250)
      await settled()
    }
    expect(log.entries().map(({ level, error }) => [level, error])).toMatchObject([['error', { code: 'ENOSPC' }]])
    room = Number.MAX_SAFE_INTEGER
    clock.advance(1_000)
    await settled()
    expect(kept.ids()).toEqual(numbered(10))
    expect(counted).toEqual({ written: 10, dropped: 0 })
  })

  test('drops what does not fit, counts it, and tells of it once each way', async () => {
    let release = (): void => undefined
    const stuck = new Promise<void>((resolve) => (release = resolve))
    const kept = keepSink(async (chunk) => {
      await stuck
      return chunk.length
    })
    const { audit, counted, log } = trial(kept.sink, { limits: { maxEvents: 10, maxBytes: 1_000_000 } })
    recordAll(audit, numbered(25))
    expect(counted).toEqual({ written: 0, dropped: 16 })
    expect(log.entries()).toHaveLength(2)
    release()
    await audit.close(1_000)
    expect(kept.ids()).toEqual(numbered(9))
    expect(log.entries().map(({ level, message, dropped }) => [level, message, dropped])).toEqual([
      ['error', 'the audit cannot be written; it is tried again', undefined],
      ['error', 'audit lines are being dropped: the destination is too slow or fails', undefined],
      ['warn', 'the audit is written again', 16],
    ])
  })

  test('is bounded in bytes too', () => {
    const kept = keepSink(() => new Promise<number>(() => undefined))
    const { audit, counted } = trial(kept.sink, { limits: { maxEvents: 1_000, maxBytes: 5_000 } })
    recordAll(audit, numbered(100))
    expect(counted.dropped).toBeGreaterThan(80)
  })

  test('makes one last attempt when it is closed, and counts what is left', async () => {
    let writes = 0
    const kept = keepSink(() => {
      writes++
      throw Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })
    })
    const { audit, counted, clock } = trial(kept.sink)
    recordAll(audit, numbered(3))
    await settled()
    await audit.close(1_000)
    expect({ writes, ...counted }).toEqual({ writes: 2, written: 0, dropped: 3 })
    expect(clock.waiting()).toBe(0)
  })

  test('does not wait beyond its time for a destination that hangs', async () => {
    const kept = keepSink(() => new Promise<number>(() => undefined))
    const { audit, clock, counted } = trial(kept.sink)
    recordAll(audit, numbered(3))
    const closed = audit.close(1_000)
    clock.advance(1_000)
    await closed
    expect(counted).toEqual({ written: 0, dropped: 3 })
  })

  test('counts what is recorded after it was closed', async () => {
    const kept = keepSink()
    const { audit, counted } = trial(kept.sink)
    await audit.close(1_000)
    recordAll(audit, ['late'])
    expect(counted).toEqual({ written: 0, dropped: 1 })
  })
})

describe('requests while the audit cannot be written', () => {
  test('are refused when they would write, let through when they read, and counted', async () => {
    const sink = fickleSink()
    const { audit, clock, ups, judged } = trial(sink.sink)
    sink.is('full')
    expect([audit.admits(push), audit.admits(pull)]).toEqual([true, true])
    recordAll(audit, ['r0'])
    await settled()
    expect([audit.admits(push), audit.admits(pull)]).toEqual([false, true])
    expect(judged).toEqual(['write refused', 'read admitted'])
    sink.is('works')
    clock.advance(250)
    await settled()
    expect([audit.admits(push), audit.admits(pull)]).toEqual([true, true])
    expect(ups).toEqual([false, true])
    expect(sink.ids()).toEqual(['r0'])
  })

  test.each([
    [{ writes: 'allow', reads: 'block' }, [true, false]],
    [{ writes: 'block', reads: 'block' }, [false, false]],
    [{ writes: 'allow', reads: 'allow' }, [true, true]],
  ] as const)('are judged by the settings %j', async (onFailure, expected) => {
    const sink = fickleSink()
    const { audit } = trial(sink.sink, { onFailure })
    sink.is('full')
    recordAll(audit, ['r0'])
    await settled()
    expect([audit.admits(push), audit.admits(pull)]).toEqual(expected)
  })

  test.each([
    ['POST', '/v2/a/blobs/uploads/', false],
    ['PATCH', '/v2/a/blobs/uploads/1', false],
    ['GET', '/v2/a/blobs/uploads/1', true],
    ['DELETE', '/v2/a/manifests/latest', false],
    ['HEAD', '/v2/a/manifests/latest', true],
    ['GET', '/v2/', true],
  ])('%s %s is let through: %j', async (method, target, expected) => {
    const sink = fickleSink()
    const { audit } = trial(sink.sink)
    sink.is('full')
    recordAll(audit, ['r0'])
    await settled()
    expect(audit.admits(parseRegistryRequest(method, target))).toBe(expected)
  })

  test('are refused once a write has hung for five seconds, and let in when it ends', async () => {
    const sink = fickleSink()
    const { audit, clock, log } = trial(sink.sink)
    sink.is('hangs')
    recordAll(audit, ['r0'])
    clock.advance(4_999)
    expect(audit.admits(push)).toBe(true)
    clock.advance(1)
    expect(audit.admits(push)).toBe(false)
    expect(log.entries()).toMatchObject([{ level: 'error', reason: 'write stands still', writes: 'block' }])
    sink.release()
    await settled()
    expect(audit.admits(push)).toBe(true)
  })

  test('are refused while half of the queue waits, until three quarters of it are free', async () => {
    const sink = fickleSink()
    const { audit, log } = trial(sink.sink, { limits: { maxEvents: 20, maxBytes: 1_000_000 } })
    sink.is('hangs')
    recordAll(audit, numbered(9))
    expect(audit.admits(push)).toBe(true)
    recordAll(audit, ['r9'])
    expect(audit.admits(push)).toBe(false)
    expect(log.entries()).toMatchObject([{ level: 'error', reason: 'too many lines wait' }])
    sink.is('works')
    sink.release()
    await settled()
    expect(audit.admits(push)).toBe(true)
    expect(sink.ids()).toEqual(numbered(10))
  })

  test('do not take the room of pushes that were let in before', () => {
    const sink = fickleSink()
    const { audit, counted } = trial(sink.sink, { limits: { maxEvents: 20, maxBytes: 1_000_000 } })
    sink.is('hangs')
    recordAll(audit, numbered(30))
    expect(counted.dropped).toBe(12)
    audit.record(exchange({ method: 'PUT', request: push }))
    audit.record(exchange({ method: 'PUT', request: push, decision: undefined }))
    expect(counted.dropped).toBe(13)
  })

  test('are told of once in the log, however many they are and however often a write is tried', async () => {
    const sink = fickleSink()
    const { audit, clock, log } = trial(sink.sink)
    sink.is('full')
    for (let round = 0; round < 20; round++) {
      recordAll(audit, [`r${round}`])
      audit.admits(push)
      clock.advance(250)
      await settled()
    }
    sink.is('works')
    clock.advance(250)
    await settled()
    expect(log.entries().map(({ level, error }) => [level, error])).toMatchObject([
      ['error', { code: 'ENOSPC' }],
      ['warn', undefined],
    ])
    expect(sink.ids()).toEqual(numbered(20))
  })
})

describe('reopening', () => {
  test('happens at once where nothing waits', async () => {
    const kept = keepSink()
    const { audit } = trial(kept.sink)
    audit.reopen()
    await settled()
    expect(kept.reopened()).toBe(1)
    await audit.close(1_000)
  })

  test('is tried again until it succeeds, and no line is lost meanwhile', async () => {
    let isGone = true
    const kept = keepSink()
    const reopen = () => (isGone ? Promise.reject(new Error('ENOENT')) : kept.sink.reopen())
    const { audit, clock } = trial({ ...kept.sink, reopen })
    audit.reopen()
    recordAll(audit, numbered(3))
    await settled()
    expect(audit.admits(push)).toBe(false)
    expect(kept.ids()).toEqual([])
    isGone = false
    clock.advance(250)
    await settled()
    expect(audit.admits(push)).toBe(true)
    expect(kept.ids()).toEqual(numbered(3))
  })
})
