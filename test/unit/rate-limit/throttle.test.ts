import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { createThrottle } from '../../../src/rate-limit/throttle.ts'
import type { Throttle, ThrottleShare } from '../../../src/rate-limit/throttle.ts'
import { createFakeClock, settle, watch } from '../authentication/fake-clock.ts'
import type { FakeClock } from '../authentication/fake-clock.ts'

const kib = 1024
const mib = 1024 * kib

function site(bytesPerSecond: number, maxDebtBytes = bytesPerSecond) {
  const clock = createFakeClock()
  return { clock, throttle: createThrottle({ bytesPerSecond, maxDebtBytes, clock }) }
}

/** A transfer that reads the next chunk a moment after it may; its bytes are counted as they flow. */
type Flow = { readonly chunk: number; readonly readMs: number; bytes: number; stop(): void }

function startFlow(
  throttle: Throttle,
  clock: FakeClock,
  how: { readonly identity: string; readonly chunk: number; readonly readMs: number },
  share = throttle.share(how.identity),
): Flow {
  let isStopped = false
  const flow: Flow = {
    ...how,
    bytes: 0,
    stop: () => {
      isStopped = true
      share.leave()
    },
  }
  async function read(): Promise<void> {
    while (!isStopped) {
      flow.bytes += how.chunk
      await share.take(how.chunk)
      if (how.readMs > 0) await new Promise<void>((resolve) => clock.after(how.readMs, resolve))
    }
  }
  void read()
  return flow
}

/** What waits now. */
function waitOf(share: ThrottleShare, bytes: number) {
  const turn = share.take(bytes)
  if (turn === undefined) throw new Error('nothing had to wait')
  return watch(turn)
}

/** Leaves the bucket of an identity, whose burst is known, with nothing. */
function emptied(throttle: Throttle, identity: string, burst: number): ThrottleShare {
  const share = throttle.share(identity)
  expect(share.take(burst)).toBeUndefined()
  return share
}

const chunks = fc.constantFrom(64 * kib, 256 * kib, mib)

describe('the rate of an identity', () => {
  test('is what all its transfers reach together, at any time and with any chunks', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 8, max: 100 }),
        fc.array(fc.record({ chunk: chunks, readMs: fc.integer({ min: 0, max: 2 }) }), { minLength: 2, maxLength: 6 }),
        async (megabytesPerSecond, flowing) => {
          // Reading must be able to outrun the rate, or it is not the rate that is measured.
          fc.pre(flowing.every(({ chunk, readMs }) => readMs === 0 || chunk / readMs > megabytesPerSecond * 1500))
          const rate = megabytesPerSecond * 1_000_000
          const { clock, throttle } = site(rate)
          const flows = flowing.map((how) => startFlow(throttle, clock, { identity: 'u=alice', ...how }))
          const inHand = flows.reduce((sum, { chunk }) => sum + chunk, 0)
          for (let second = 1; second <= 3; second += 1) {
            await clock.advance(1000)
            const total = flows.reduce((sum, { bytes }) => sum + bytes, 0)
            expect(total).toBeGreaterThanOrEqual(rate * second)
            expect(total).toBeLessThanOrEqual(rate * (second + 0.25) + inHand)
          }
          for (const flow of flows) flow.stop()
        },
      ),
      { numRuns: 50 },
    )
  })

  test('is within 10 % for four downloads at 20 MB/s in 20 s, and another user has all of its own', async () => {
    const rate = 20_000_000
    const { clock, throttle } = site(rate)
    const flows = [1, 2, 3, 4].map(() =>
      startFlow(throttle, clock, { identity: 'u=alice', chunk: 64 * kib, readMs: 1 }),
    )
    const bob = startFlow(throttle, clock, { identity: 'u=bob', chunk: 64 * kib, readMs: 4 })
    await clock.advance(20_000)
    const total = flows.reduce((sum, { bytes }) => sum + bytes, 0)
    expect(total / (rate * 20)).toBeGreaterThan(0.9)
    expect(total / (rate * 20)).toBeLessThan(1.1)
    // 64 KiB each 4 ms is 16 MB/s: less than the rate, and nothing is taken of it.
    expect(bob.bytes).toBeGreaterThanOrEqual((20_000 / 4) * 64 * kib)
    for (const flow of [...flows, bob]) flow.stop()
  })

  test('is shared alike by transfers of different chunks', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ chunk: chunks, readMs: fc.integer({ min: 0, max: 1 }) }), { minLength: 2, maxLength: 5 }),
        async (flowing) => {
          const { clock, throttle } = site(20_000_000)
          const flows = flowing.map((how) => startFlow(throttle, clock, { identity: 'u=alice', ...how }))
          // What may come at once goes to whoever comes first.
          await clock.advance(500)
          const first = flows.map(({ bytes }) => bytes)
          await clock.advance(4000)
          const sums = flows.map(({ bytes }, at) => bytes - (first[at] ?? 0))
          expect(Math.max(...sums) - Math.min(...sums)).toBeLessThanOrEqual(3 * mib)
          for (const flow of flows) flow.stop()
        },
      ),
      { numRuns: 50 },
    )
  })

  test.each([
    ['who joins later', false, 768 * kib],
    ['who did nothing for long, beyond a MiB', true, 1792 * kib],
  ])('is not made up for to %s', async (_, isEarly, most) => {
    const { clock, throttle } = site(20_000_000)
    const how = { identity: 'u=alice', chunk: 256 * kib, readMs: 1 }
    const early = isEarly ? throttle.share('u=alice') : undefined
    const first = startFlow(throttle, clock, how)
    await clock.advance(5000)
    const before = first.bytes
    const second = startFlow(throttle, clock, how, early)
    await clock.advance(4000)
    expect(Math.abs(second.bytes - (first.bytes - before))).toBeLessThanOrEqual(most)
    first.stop()
    second.stop()
  })

  test('is made up for to who is held up now and then', async () => {
    const { clock, throttle } = site(20_000_000)
    const share = throttle.share('u=alice')
    const how = { identity: 'u=alice', chunk: 256 * kib, readMs: 1 }
    const others = [1, 2, 3].map(() => startFlow(throttle, clock, how))
    let bytes = 0
    async function readWithPauses(): Promise<void> {
      for (let chunk = 1; clock.nowMs() < 11_000; chunk += 1) {
        bytes += 64 * kib
        await share.take(64 * kib)
        await new Promise<void>((resolve) => clock.after(chunk % 10 === 0 ? 80 : 1, resolve))
      }
    }
    void readWithPauses()
    await clock.advance(10_000)
    expect(bytes).toBeGreaterThan(0.95 * 50_000_000)
    expect(bytes).toBeLessThan(1.05 * 50_000_000)
    for (const flow of others) flow.stop()
  })

  test('is shared alike with one that was not slowed before', async () => {
    const { clock, throttle } = site(20_000_000)
    const share = throttle.share('u=alice')
    for (let times = 0; times < 1000; times += 1) {
      expect(share.take(64 * kib)).toBeUndefined()
      await clock.advance(5)
    }
    const how = { identity: 'u=alice', chunk: 64 * kib, readMs: 1 }
    const flows = [startFlow(throttle, clock, how, share), startFlow(throttle, clock, how)]
    await clock.advance(4000)
    const [first = 0, second = 0] = flows.map(({ bytes }) => bytes)
    expect(Math.abs(first - second)).toBeLessThanOrEqual(7 * mib)
    for (const flow of flows) flow.stop()
  })

  test('lets nothing small pass a chunk that waits', async () => {
    const { clock, throttle } = site(1_000_000)
    void emptied(throttle, 'u=alice', 250_000).take(64 * kib)
    await clock.advance(60)
    const turn = waitOf(throttle.share('u=alice'), 1000)
    await clock.advance(5)
    expect(turn().kind).toBe('pending')
    await clock.advance(2)
    expect(turn().kind).toBe('value')
  })

  test('serves those that wait in the order they came', async () => {
    const { clock, throttle } = site(1_000_000)
    emptied(throttle, 'u=alice', 250_000)
    const served: string[] = []
    for (const name of ['first', 'second', 'third']) {
      void throttle
        .share('u=alice')
        .take(64 * kib)
        ?.then(() => served.push(name))
    }
    for (const so of [['first'], ['first', 'second'], ['first', 'second', 'third']]) {
      await clock.advance(66)
      expect(served).toEqual(so)
    }
  })

  test('lets a small chunk pass between the parts of a large one', async () => {
    const { clock, throttle } = site(1_000_000)
    const large = waitOf(emptied(throttle, 'u=alice', 250_000), mib)
    const small = waitOf(throttle.share('u=alice'), 64 * kib)
    await clock.advance(200)
    expect([large().kind, small().kind]).toEqual(['pending', 'value'])
    await clock.advance(950)
    expect(large().kind).toBe('value')
  })

  test.each([
    ['minutes for a chunk', 10_000, mib, 104_858],
    ['longer than a timer of Node lasts', 1, 2_500_000, 2_500_000_000],
  ])('may be so low that it takes %s', async (_, bytesPerSecond, bytes, waitMs) => {
    const { clock, throttle } = site(bytesPerSecond)
    const turn = waitOf(emptied(throttle, 'u=alice', 64 * kib), bytes)
    await clock.advance(waitMs - 10)
    expect(turn().kind).toBe('pending')
    await clock.advance(20)
    expect(turn().kind).toBe('value')
  })

  test('has no timer that Node would cut short', () => {
    const delays: number[] = []
    const after = (delayMs: number): (() => void) => {
      delays.push(delayMs)
      return () => undefined
    }
    const throttle = createThrottle({ bytesPerSecond: 0.001, maxDebtBytes: 1, clock: { nowMs: () => 0, after } })
    waitOf(emptied(throttle, 'u=alice', 64 * kib), mib)
    expect(delays).toEqual([2 ** 30])
  })

  test('loses nothing by timers that come late, up to a quarter of a second', async () => {
    const { clock, throttle } = site(20_000_000)
    const nowMs = (): number => clock.nowMs()
    const late = createThrottle({
      bytesPerSecond: 20_000_000,
      maxDebtBytes: 20_000_000,
      clock: { nowMs, after: (delayMs, run) => clock.after(delayMs + 150, run) },
    })
    const flows = [late, throttle].map((of) =>
      startFlow(of, clock, { identity: 'u=alice', chunk: 64 * kib, readMs: 0 }),
    )
    await clock.advance(4000)
    const [behind = 0, onTime = 0] = flows.map(({ bytes }) => bytes)
    for (const flow of flows) flow.stop()
    expect(behind / onTime).toBeGreaterThan(0.9)
  })
})

describe('a share', () => {
  test('goes on at once, without a promise or a timer, while the bucket can pay', () => {
    const { clock, throttle } = site(1_000_000)
    const share = throttle.share('u=alice')
    for (let taken = 0; taken < 250_000; taken += 50_000) expect(share.take(50_000)).toBeUndefined()
    expect(clock.pending()).toBe(0)
    expect(share.take(1)).toBeInstanceOf(Promise)
  })

  test('has one wait, however many chunks came to it', async () => {
    const { clock, throttle } = site(1_000_000)
    const share = emptied(throttle, 'u=alice', 250_000)
    const first = share.take(mib)
    expect(share.take(mib)).toBe(first)
    const turn = watch(Promise.resolve(first))
    await clock.advance(2090)
    expect(turn().kind).toBe('pending')
    await clock.advance(10)
    expect(turn().kind).toBe('value')
  })

  test('waits with no bytes until what is owed is paid, and pays nothing', async () => {
    const { clock, throttle } = site(1_000_000)
    const share = throttle.share('u=alice')
    expect(share.take(0)).toBeUndefined()
    share.owe(500_000)
    const turn = waitOf(throttle.share('u=alice'), 0)
    await clock.advance(249)
    expect(turn().kind).toBe('pending')
    await clock.advance(2)
    expect(turn().kind).toBe('value')
    expect(share.take(0)).toBeUndefined()
    expect(share.take(1001)).toBeInstanceOf(Promise)
  })

  test('lets go of its wait when it is left, and of the timer with the last that waits', async () => {
    const { clock, throttle } = site(1_000)
    const shares = [emptied(throttle, 'u=alice', 64 * kib), throttle.share('u=alice'), throttle.share('u=alice')]
    const turns = shares.map((share) => waitOf(share, mib))
    expect(clock.pending()).toBe(1)
    for (const [at, share] of shares.entries()) {
      share.leave()
      await settle()
      expect(turns.map((turn) => turn().kind)).toEqual(shares.map((_, other) => (other <= at ? 'value' : 'pending')))
      expect(clock.pending()).toBe(at === 2 ? 0 : 1)
    }
  })

  test('that is left waits for nothing, counts nothing and may be left again', () => {
    const { clock, throttle } = site(1_000)
    const left = throttle.share('u=alice')
    const other = throttle.share('u=alice')
    left.leave()
    left.leave()
    for (let times = 0; times < 10; times += 1) {
      expect(left.take(mib)).toBeUndefined()
      left.owe(mib)
    }
    expect(other.take(64 * kib)).toBeUndefined()
    other.leave()
    expect(clock.pending()).toBe(0)
  })

  test('that is left while it waits still owes what was not paid', async () => {
    const { clock, throttle } = site(1_000_000)
    const share = emptied(throttle, 'u=alice', 250_000)
    void share.take(1_000_000)
    await clock.advance(500)
    share.leave()
    const turn = waitOf(throttle.share('u=alice'), 0)
    await clock.advance(480)
    expect(turn().kind).toBe('pending')
    await clock.advance(40)
    expect(turn().kind).toBe('value')
  })

  test.each([
    ['a window', 4_000_000, 4_000],
    ['a MiB where the window has less', 10, 1_049],
  ])('owes at most %s', async (_, maxDebtBytes, waitMs) => {
    const { clock, throttle } = site(1_000_000, maxDebtBytes)
    const share = throttle.share('u=alice')
    for (let times = 0; times < 10; times += 1) share.owe(mib)
    const turn = waitOf(share, 0)
    await clock.advance(waitMs - 10)
    expect(turn().kind).toBe('pending')
    await clock.advance(20)
    expect(turn().kind).toBe('value')
  })

  test('pays in full for what it waits for, however small the window', async () => {
    const { clock, throttle } = site(100_000, 1)
    const turn = waitOf(emptied(throttle, 'u=alice', 64 * kib), 4 * mib)
    await clock.advance(41_900)
    expect(turn().kind).toBe('pending')
    await clock.advance(100)
    expect(turn().kind).toBe('value')
  })
})

describe('the memory of identities', () => {
  test('keeps what was used between transfers, so that many short ones reach no more than one long', async () => {
    const { clock, throttle } = site(1_000_000)
    let bytes = 0
    for (let times = 0; times < 1000; times += 1) {
      const share = throttle.share('u=alice')
      const turn = watch(Promise.resolve(share.take(0)))
      await clock.advance(10)
      if (turn().kind === 'value') {
        bytes += 64 * kib
        void share.take(64 * kib)
      }
      share.leave()
    }
    expect(bytes).toBeGreaterThan(9_800_000)
    expect(bytes).toBeLessThan(10_500_000)
  })

  test('forgets who is out of use and whose bucket is full again', async () => {
    const { clock, throttle } = site(1_000_000)
    for (let number = 0; number < 1000; number += 1) {
      const share = throttle.share(`a=${String(number)}`)
      share.owe(100_000)
      share.leave()
    }
    expect(throttle.identities).toBe(1000)
    await clock.advance(99)
    throttle.share('u=alice').leave()
    expect(throttle.identities).toBe(1001)
    await clock.advance(2)
    for (let number = 0; number < 400; number += 1) throttle.share('u=alice').leave()
    expect(throttle.identities).toBe(1)
    expect(clock.pending()).toBe(0)
  })

  test('does not forget who is in use', async () => {
    const { clock, throttle } = site(1_000_000)
    const shares = [throttle.share('u=alice'), throttle.share('u=alice')]
    shares[0]?.leave()
    await clock.advance(60_000)
    for (let number = 0; number < 10; number += 1) throttle.share('u=bob').leave()
    shares[1]?.owe(mib)
    expect(throttle.share('u=alice').take(1)).toBeInstanceOf(Promise)
  })

  test('has one place for who comes back', () => {
    const { throttle } = site(1_000_000)
    const share = throttle.share('u=alice')
    share.owe(mib)
    share.leave()
    expect(throttle.share('u=alice').take(1)).toBeInstanceOf(Promise)
    expect(throttle.identities).toBe(1)
  })
})
