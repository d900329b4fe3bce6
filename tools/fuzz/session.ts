import { Worker } from 'node:worker_threads'
import type { Outcome } from './target.ts'

export type Session = {
  /** A module that exports `targets`; its file URL. */
  readonly module: string
  readonly names: readonly string[]
  /** For all of them together. */
  readonly seconds: number
  readonly seed: number
  /** An input that takes longer never ends: 10 s unless told, far beyond what a slow one gets. */
  readonly hangMs?: number
  readonly print: (line: string) => void
}

export type WorkerData = Pick<Session, 'module' | 'names' | 'seed'> & {
  /** For each target. */
  readonly milliseconds: number
  readonly shared: SharedArrayBuffer
}

type Message =
  | { readonly kind: 'began'; readonly name: string }
  | { readonly kind: 'ended'; readonly name: string; readonly outcome: Outcome }

const maxInputBytes = 1_048_576

/** Fuzzes each target for its share of the time, prints a line for each, and says whether all of them held. */
export async function fuzz({ module, names, seconds, seed, hangMs = 10_000, print }: Session): Promise<boolean> {
  const shared = new SharedArrayBuffer(8 + maxInputBytes)
  const milliseconds = Math.ceil((seconds * 1_000) / Math.max(names.length, 1))
  const workerData: WorkerData = { module, names, seed, milliseconds, shared }
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData })
  const pending = new Set(names)
  let current = ''
  let failures = 0
  const fail = (name: string, reason: string, input: string): void => {
    failures += 1
    print(`FAILED ${name}: ${reason}`)
    print(`again with: npm run fuzz -- --only ${name} --input ${quoted(input)}`)
  }
  worker.on('message', (message: Message) => {
    current = message.name
    if (message.kind === 'began') return
    const { name, outcome } = message
    pending.delete(name)
    if (outcome.kind === 'failed') fail(name, outcome.reason, outcome.input)
    else
      print(
        `held   ${name.padEnd(16)} ${String(outcome.runs).padStart(9)} runs, the slowest ${outcome.slowestMs.toFixed(1)} ms`,
      )
  })
  const watcher = watch(shared, hangMs, () => {
    fail(current, `takes longer than ${String(hangMs)} ms, or for ever`, inputOf(shared))
    void worker.terminate()
  })
  try {
    await ended(worker)
  } catch (error) {
    fail(current, error instanceof Error ? (error.stack ?? error.message) : String(error), inputOf(shared))
  } finally {
    clearInterval(watcher)
  }
  // Whatever it was, what was not tried has not held.
  if (failures === 0 && pending.size > 0) fail(current, 'ended the thread', inputOf(shared))
  return failures === 0
}

function ended(worker: Worker): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.once('error', reject).once('exit', () => {
      resolve()
    })
  })
}

/** Calls when no input has begun for so long; until the first one, while the targets are loaded, six times as long. */
function watch(shared: SharedArrayBuffer, hangMs: number, onHang: () => void): NodeJS.Timeout {
  const counters = new Int32Array(shared, 0, 1)
  let last = { count: 0, sinceMs: performance.now() }
  return setInterval(() => {
    const count = Atomics.load(counters, 0)
    if (count !== last.count) last = { count, sinceMs: performance.now() }
    else if (performance.now() - last.sinceMs > (count === 0 ? 6 * hangMs : hangMs)) {
      last = { count, sinceMs: Number.POSITIVE_INFINITY }
      onHang()
    }
  }, 100)
}

function inputOf(shared: SharedArrayBuffer): string {
  const length = new Int32Array(shared, 0, 2)[1] ?? 0
  return Buffer.from(new Uint8Array(shared, 8, length)).toString('utf8')
}

function quoted(input: string): string {
  return `'${input.replaceAll("'", String.raw`'\''`)}'`
}
