import { PassThrough, Readable, Writable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { startPump } from '../../../src/proxy/pump.ts'
import type { PumpEnd, PumpOptions } from '../../../src/proxy/pump.ts'

const unlimited: PumpOptions = { charge: () => undefined, sourceIdleMs: 0, sinkIdleMs: 0 }

/** A sink that takes what it is given only when told to. */
function slowSink(): { readonly sink: Writable; readonly taken: () => string; readonly take: () => void } {
  const waiting: (() => void)[] = []
  let taken = ''
  const sink = new Writable({
    highWaterMark: 4,
    write: (chunk: Buffer, _encoding, done) => {
      taken += chunk.toString()
      waiting.push(done)
    },
  })
  return { sink, taken: () => taken, take: () => waiting.shift()?.() }
}

function readText(stream: Readable): string {
  const content: unknown = stream.read()
  return String(content)
}

/** Lets every stream event that is due happen. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve))
}

describe('a pump', () => {
  test('hands over every byte, and neither ends nor destroys its streams', async () => {
    const sink = new PassThrough()
    const end = await startPump(Readable.from([Buffer.from('some '), Buffer.from('bytes')]), sink, unlimited).ended
    expect(end).toEqual({ kind: 'complete' })
    expect(readText(sink)).toBe('some bytes')
    expect([sink.writableEnded, sink.destroyed]).toEqual([false, false])
  })

  test('leaves the sink corked, so that its end goes out with the last bytes', async () => {
    const sink = new PassThrough()
    await startPump(Readable.from([Buffer.from('bytes')]), sink, unlimited).ended
    expect(sink.writableCorked).toBe(1)
    sink.end()
    expect([sink.writableCorked, readText(sink)]).toEqual([0, 'bytes'])
  })

  test('counts bytes before it writes them', async () => {
    const counted: number[] = []
    const sink = new PassThrough()
    const charge = (bytes: number): void => {
      counted.push(bytes, sink.readableLength)
    }
    await startPump(Readable.from([Buffer.from('123'), Buffer.from('45')]), sink, { ...unlimited, charge }).ended
    expect(counted).toEqual([3, 0, 2, 3])
  })

  test('reads no further while the sink is full', async () => {
    const source = new PassThrough()
    const { sink, taken, take } = slowSink()
    const pump = startPump(source, sink, unlimited)
    source.write('12345678')
    source.write('later')
    await settle()
    expect(taken()).toBe('12345678')
    expect(source.readableLength).toBe(5)
    take()
    await settle()
    expect(taken()).toBe('12345678later')
    pump.stop()
  })

  test('holds the source until a charge has settled', async () => {
    const source = new PassThrough()
    const sink = new PassThrough()
    const paid = Promise.withResolvers<undefined>()
    const pump = startPump(source, sink, { ...unlimited, charge: () => paid.promise })
    source.write('first')
    source.write('second')
    await settle()
    expect(readText(sink)).toBe('first')
    expect(source.readableLength).toBe(6)
    paid.resolve(undefined)
    await settle()
    expect(readText(sink)).toBe('second')
    pump.stop()
  })

  test('does not go on behind a charge while the sink is full, nor behind the sink while a charge is due', async () => {
    const source = new PassThrough()
    const { sink, taken, take } = slowSink()
    const bills: PromiseWithResolvers<undefined>[] = []
    const charge = (): Promise<void> => {
      const bill = Promise.withResolvers<undefined>()
      bills.push(bill)
      return bill.promise
    }
    const pump = startPump(source, sink, { ...unlimited, charge })
    source.write('12345678')
    source.write('later')
    await settle()
    bills[0]?.resolve(undefined)
    await settle()
    expect(taken()).toBe('12345678')
    take()
    await settle()
    expect(taken()).toBe('12345678later')
    take()
    source.write('last')
    await settle()
    expect(taken()).toBe('12345678later')
    bills[1]?.resolve(undefined)
    await settle()
    expect(taken()).toBe('12345678laterlast')
    pump.stop()
  })

  test('does not write a byte past its limit', async () => {
    const sink = new PassThrough()
    const source = Readable.from([Buffer.from('1234'), Buffer.from('5'), Buffer.from('6')])
    expect(await startPump(source, sink, { ...unlimited, maxBytes: 5 }).ended).toEqual({ kind: 'too-large' })
    expect(readText(sink)).toBe('12345')
  })

  test('takes exactly as many bytes as its limit says', async () => {
    const source = Readable.from([Buffer.from('12345')])
    const end = await startPump(source, new PassThrough(), { ...unlimited, maxBytes: 5 }).ended
    expect(end).toEqual({ kind: 'complete' })
  })

  const failures: readonly (readonly [string, PumpEnd['kind'], (source: PassThrough, sink: PassThrough) => void])[] = [
    ['an error of the source', 'source-failed', (source) => source.destroy(new Error('reset'))],
    ['a source that closes before its end', 'source-failed', (source) => source.destroy()],
    ['an error of the sink', 'sink-failed', (_source, sink) => sink.destroy(new Error('reset'))],
    ['a sink that closes', 'sink-failed', (_source, sink) => sink.destroy()],
  ]
  test.each(failures)('tells of %s, and of which side it was', async (_title, kind, fail) => {
    const [source, sink] = [new PassThrough(), new PassThrough()]
    const { ended } = startPump(source, sink, unlimited)
    source.write('some')
    await settle()
    fail(source, sink)
    expect(await ended).toMatchObject({ kind })
  })

  test.each(failures)('tells of %s before it began', async (_title, kind, fail) => {
    const [source, sink] = [new PassThrough(), new PassThrough()]
    source.on('error', () => undefined)
    sink.on('error', () => undefined)
    fail(source, sink)
    await settle()
    expect(await startPump(source, sink, unlimited).ended).toMatchObject({ kind })
  })

  test('is complete where the source has ended already', async () => {
    const source = new PassThrough()
    source.end()
    source.resume()
    await settle()
    expect(await startPump(source, new PassThrough(), unlimited).ended).toEqual({ kind: 'complete' })
  })

  test('a charge that fails ends it, and neither side is blamed', async () => {
    const source = new PassThrough()
    const charge = (): Promise<void> => Promise.reject(new Error('the limiter is gone'))
    const { ended } = startPump(source, new PassThrough(), { ...unlimited, charge })
    source.write('some')
    expect(await ended).toMatchObject({ kind: 'charge-failed' })
  })

  test('lets go of both streams when stopped, the source paused and usable', async () => {
    const [source, sink] = [new PassThrough(), new PassThrough()]
    const pump = startPump(source, sink, unlimited)
    source.write('some')
    await settle()
    pump.stop()
    expect(await pump.ended).toEqual({ kind: 'stopped' })
    source.write('more')
    await settle()
    expect(readText(sink)).toBe('some')
    expect(readText(source)).toBe('more')
    expect([source.destroyed, sink.destroyed]).toEqual([false, false])
  })

  test('leaves no listener but one for errors that come late', async () => {
    const [source, sink] = [new PassThrough(), new PassThrough()]
    const names = (stream: PassThrough): readonly unknown[] =>
      stream.eventNames().filter((name) => name !== 'prefinish')
    const before = { source: names(source), sink: names(sink) }
    const pump = startPump(source, sink, unlimited)
    pump.stop()
    await pump.ended
    expect(names(source)).toEqual([...before.source, 'error'])
    expect(names(sink)).toEqual([...before.sink, 'error'])
    source.destroy(new Error('late'))
    sink.destroy(new Error('late'))
    await settle()
  })
})

describe('the limits of a pump', () => {
  beforeEach(() => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] })
  })
  afterEach(() => {
    jest.useRealTimers()
  })

  test('a source that is silent while it could be read ends it', async () => {
    const source = new PassThrough()
    const { ended } = startPump(source, new PassThrough(), { ...unlimited, sourceIdleMs: 1_000 })
    source.write('some')
    await settle()
    jest.advanceTimersByTime(2_000)
    expect(await ended).toEqual({ kind: 'source-idle' })
  })

  test('a source that says something now and then goes on', async () => {
    const source = new PassThrough()
    const pump = startPump(source, new PassThrough(), { ...unlimited, sourceIdleMs: 1_000 })
    const onEnd = jest.fn()
    void pump.ended.then(onEnd)
    for (let said = 0; said < 20; said += 1) {
      source.write('.')
      await settle()
      jest.advanceTimersByTime(900)
    }
    await settle()
    expect(onEnd).not.toHaveBeenCalled()
    pump.stop()
  })

  test('a sink that takes nothing ends it, and the source is not blamed', async () => {
    const source = new PassThrough()
    const { sink } = slowSink()
    const { ended } = startPump(source, sink, { ...unlimited, sourceIdleMs: 1_000, sinkIdleMs: 5_000 })
    source.write('12345678')
    await settle()
    jest.advanceTimersByTime(4_900)
    await settle()
    jest.advanceTimersByTime(5_100)
    expect(await ended).toEqual({ kind: 'sink-idle' })
  })

  test('a sink that waits for nothing has all the time', async () => {
    const source = new PassThrough()
    const sink = new PassThrough()
    const pump = startPump(source, sink, { ...unlimited, sinkIdleMs: 1_000 })
    const onEnd = jest.fn()
    void pump.ended.then(onEnd)
    source.write('some')
    await settle()
    jest.advanceTimersByTime(10_000)
    await settle()
    expect(onEnd).not.toHaveBeenCalled()
    pump.stop()
  })

  test('a source that a charge holds back is not blamed', async () => {
    const source = new PassThrough()
    const charge = (): Promise<void> => new Promise(() => undefined)
    const pump = startPump(source, new PassThrough(), { ...unlimited, charge, sourceIdleMs: 1_000 })
    const onEnd = jest.fn()
    void pump.ended.then(onEnd)
    source.write('some')
    await settle()
    jest.advanceTimersByTime(10_000)
    await settle()
    expect(onEnd).not.toHaveBeenCalled()
    pump.stop()
  })

  test('no timer outlives it', async () => {
    const pump = startPump(new PassThrough(), new PassThrough(), {
      ...unlimited,
      sourceIdleMs: 1_000,
      sinkIdleMs: 1_000,
    })
    expect(jest.getTimerCount()).toBe(2)
    pump.stop()
    await pump.ended
    expect(jest.getTimerCount()).toBe(0)
  })
})
