/** Runs targets one after another in a thread of its own, which whoever started it can end when an input never does. */
import { parentPort, workerData } from 'node:worker_threads'
import type { FuzzTarget } from './target.ts'
import type { WorkerData } from './session.ts'

const { module, names, milliseconds, seed, shared } = workerData as WorkerData
const { targets } = (await import(module)) as { readonly targets: readonly FuzzTarget[] }

/** The input under way, for the watcher: how many there were, how long this one is, and its bytes. */
const counters = new Int32Array(shared, 0, 2)
const bytes = new Uint8Array(shared, 8)
const encoder = new TextEncoder()

function began(input: string): void {
  counters[1] = encoder.encodeInto(input, bytes).written
  Atomics.add(counters, 0, 1)
}

for (const target of targets.filter(({ name }) => names.includes(name))) {
  parentPort?.postMessage({ kind: 'began', name: target.name })
  const outcome = await target.run({ seed, milliseconds, began })
  parentPort?.postMessage({ kind: 'ended', name: target.name, outcome })
}
