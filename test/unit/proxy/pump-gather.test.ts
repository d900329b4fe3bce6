import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable, Writable } from 'node:stream'
import { describe, expect, test } from '@jest/globals'
import { startPump } from '../../../src/proxy/pump.ts'
import type { Gathering } from '../../../src/proxy/pump.ts'
import { until } from '../../support/until.ts'

const quiet = { charge: () => undefined, sourceIdleMs: 0, sinkIdleMs: 0 }

/** A sink that remembers what came to it in one write, and takes it when it is told to. */
function recordingSink(highWaterMark = 64 * 1024) {
  const writes: number[] = []
  const waiting: (() => void)[] = []
  let isOpen = true
  const take = (chunks: readonly { readonly chunk: Buffer }[], done: () => void): void => {
    writes.push(chunks.reduce((total, { chunk }) => total + chunk.length, 0))
    if (isOpen) done()
    else waiting.push(done)
  }
  const sink = new Writable({
    highWaterMark,
    write: (chunk: Buffer, _encoding, done) => {
      take([{ chunk }], done)
    },
    writev: take,
  })
  return {
    sink,
    writes,
    shut: () => {
      isOpen = false
    },
    open: () => {
      isOpen = true
      for (const done of waiting.splice(0)) done()
    },
  }
}

function gatheringOf(sink: Writable, bytes: number): Gathering {
  return {
    bytes: () => bytes,
    hold: () => {
      sink.cork()
      return true
    },
    release: () => {
      sink.uncork()
    },
  }
}

function gatheringOfRequest(request: http.ClientRequest, bytes: number): Gathering {
  return {
    bytes: () => bytes,
    hold: () => {
      request.socket?.cork()
      return request.socket !== null
    },
    release: () => request.socket?.uncork(),
  }
}

describe('chunks that are gathered', () => {
  test('go together when enough have come', async () => {
    const { sink, writes } = recordingSink()
    const source = new Readable({ read: () => undefined })
    const pump = startPump(source, sink, { ...quiet, gather: gatheringOf(sink, 40) })
    for (let count = 0; count < 8; count += 1) source.push(Buffer.alloc(10))
    await until(() => writes.length === 2, { what: 'both writes' })
    expect(writes).toEqual([40, 40])
    pump.stop()
  })

  test('go after a moment when no more come', async () => {
    const { sink, writes } = recordingSink()
    const source = new Readable({ read: () => undefined })
    const pump = startPump(source, sink, { ...quiet, gather: gatheringOf(sink, 1_000_000) })
    source.push(Buffer.alloc(10))
    source.push(Buffer.alloc(20))
    await until(() => writes.length > 0, { what: 'the write' })
    expect(writes).toEqual([30])
    pump.stop()
  })

  test('go with the end of the source', async () => {
    const { sink, writes } = recordingSink()
    const pump = startPump(Readable.from([Buffer.alloc(10), Buffer.alloc(20)]), sink, {
      ...quiet,
      gather: gatheringOf(sink, 1_000_000),
    })
    expect(await pump.ended).toEqual({ kind: 'complete' })
    sink.end()
    await until(() => sink.writableFinished, { what: 'the sink has all' })
    expect(writes).toEqual([30])
  })

  const shapes = [
    { count: 300, size: 1_000, bytes: 7_000 },
    { count: 80, size: 65_536, bytes: 1_048_576 },
    { count: 320, size: 16_384, bytes: 1_048_576 },
    { count: 7, size: 16_384, bytes: 1_048_576 },
  ]
  const framings = ['chunked', 'sized'] as const
  const requests = framings.flatMap((framing) => shapes.map((shape) => ({ framing, ...shape })))
  test.each(requests)('come whole and in order: $framing, $count of $size, $bytes together', async (shape) => {
    const { framing, count, size, bytes } = shape
    const headers = framing === 'sized' ? { 'content-length': count * size } : {}
    const received: Buffer[] = []
    const server = http.createServer((req, res) => {
      req.on('data', (chunk: Buffer) => received.push(chunk)).on('end', () => res.end())
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    const request = http.request({ host: '127.0.0.1', port, method: 'PUT', headers, agent: false })
    const answered = new Promise((resolve, reject) => request.on('response', resolve).on('error', reject))
    const chunks = Array.from({ length: count }, (_, index) => Buffer.alloc(size, index))
    const pump = startPump(Readable.from(chunks), request, { ...quiet, gather: gatheringOfRequest(request, bytes) })
    expect(await pump.ended).toEqual({ kind: 'complete' })
    request.end()
    await answered
    expect(Buffer.concat(received).equals(Buffer.concat(chunks))).toBe(true)
    server.closeAllConnections()
    server.close()
  })

  test('hold the source as soon as the sink takes no more, however slowly they come', async () => {
    const { sink, writes, shut, open } = recordingSink(100)
    shut()
    const source = new Readable({ read: () => undefined })
    const pump = startPump(source, sink, { ...quiet, gather: gatheringOf(sink, 1_000_000) })
    let pushed = 0
    while (!source.isPaused() && pushed < 1_000) {
      source.push(Buffer.alloc(60))
      pushed += 1
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    expect(pushed).toBeLessThan(10)
    expect(sink.writableLength).toBeLessThan(1_000)
    open()
    await until(() => !source.isPaused(), { what: 'the source goes on' })
    expect(writes.reduce((total, bytes) => total + bytes, 0)).toBeGreaterThan(0)
    pump.stop()
  })

  test('end the pump when the sink takes nothing for too long', async () => {
    const { sink, shut } = recordingSink(100)
    shut()
    const source = new Readable({ read: () => undefined })
    const pump = startPump(source, sink, { ...quiet, sinkIdleMs: 50, gather: gatheringOf(sink, 1_000_000) })
    for (let count = 0; count < 3; count += 1) source.push(Buffer.alloc(60))
    expect(await pump.ended).toEqual({ kind: 'sink-idle' })
  })
})
