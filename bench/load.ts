/**
 * The load generator: a process of its own, so that its work is not counted as a front's. It reads one job from
 * standard input and writes one sample to standard output; what went wrong stands on standard error, exit code 1.
 */
import { text } from 'node:stream/consumers'
import { openConnection } from './load/connection.ts'
import { handshakes } from './load/handshakes.ts'
import { parseJob } from './load/job.ts'
import type { Job, Sample, Target } from './load/job.ts'
import { pull } from './load/pull.ts'
import { push } from './load/push.ts'
import { requests } from './load/requests.ts'
import { slowPull } from './load/slow-pull.ts'
import { cpuSeconds, peakResidentBytes, processTree } from './measure.ts'
import { percentile } from './statistics.ts'

const mebibyte = 1024 ** 2

async function runJob(job: Job): Promise<Sample> {
  switch (job.kind) {
    case 'pull': {
      const cost = costOf(job.target)
      return transferSample(job.bytes, await pull(job), cost())
    }
    case 'push':
      return timedPush(job)
    case 'requests': {
      let cost = costOf(job.target)
      const { seconds, latenciesMs } = await requests(job, () => {
        cost = costOf(job.target)
      })
      const spent = cost()
      return {
        requestsPerSecond: latenciesMs.length / seconds,
        cpuMicrosecondsPerRequest: (spent.cpuSeconds * 1e6) / latenciesMs.length,
        peakResidentMebibytes: spent.peakResidentBytes / mebibyte,
        p50Ms: percentile(latenciesMs, 50),
        p99Ms: percentile(latenciesMs, 99),
      }
    }
    case 'slow-pull': {
      const { growthBytes, slowestBytesPerSecond } = await slowPull(job, processTree(job.target.pid))
      return {
        memoryGrowthMebibytes: growthBytes / mebibyte,
        slowestKilobytesPerSecond: slowestBytesPerSecond / 1e3,
      }
    }
    case 'handshakes': {
      let cost = costOf(job.target)
      const { seconds, count } = await handshakes(job, () => {
        cost = costOf(job.target)
      })
      return {
        handshakesPerSecond: count / seconds,
        cpuMicrosecondsPerHandshake: (cost().cpuSeconds * 1e6) / count,
      }
    }
    case 'decisions': {
      // The policies bring libraries along, for which no other job should wait.
      const { decisions } = await import('./load/decisions.ts')
      return decisions(job)
    }
    case 'limits': {
      const { limits } = await import('./load/limits.ts')
      return limits(job)
    }
  }
}

async function timedPush(job: Extract<Job, { kind: 'push' }>): Promise<Sample> {
  const { open, close } = openConnection(job.target)
  try {
    const cost = costOf(job.target)
    const beganAt = performance.now()
    await push(open, job)
    return transferSample(job.bytes, (performance.now() - beganAt) / 1000, cost())
  } finally {
    close()
  }
}

type Cost = { readonly cpuSeconds: number; readonly peakResidentBytes: number }

/** Begins to count what the front costs; the result tells it. */
function costOf({ pid }: Target): () => Cost {
  const pids = processTree(pid)
  const before = cpuSeconds(pids)
  return () => ({ cpuSeconds: cpuSeconds(pids) - before, peakResidentBytes: peakResidentBytes(pids) })
}

function transferSample(bytes: number, seconds: number, cost: Cost): Sample {
  return {
    megabytesPerSecond: bytes / 1e6 / seconds,
    cpuSecondsPerGigabyte: (cost.cpuSeconds * 1e9) / bytes,
    peakResidentMebibytes: cost.peakResidentBytes / mebibyte,
  }
}

try {
  const sample = await runJob(parseJob(await text(process.stdin)))
  process.stdout.write(JSON.stringify(sample))
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
