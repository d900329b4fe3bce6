import { createHash } from 'node:crypto'
import { openConnection } from './connection.ts'
import type { Open } from './connection.ts'
import type { RequestsJob } from './job.ts'
import { answerTo, expectStatus } from './push.ts'

export type Requests = {
  /** Seconds until the last answer was complete. */
  readonly seconds: number
  /** Of each request, in milliseconds. */
  readonly latenciesMs: readonly number[]
}

/**
 * Asks for the same small thing over several connections at once, each as fast as the front answers. `measured` is
 * called between the unmeasured and the measured part.
 *
 * @throws Error at the first answer that is not 200 or has other bytes than expected
 */
export async function requests(job: Omit<RequestsJob, 'kind'>, measured: () => void): Promise<Requests> {
  const connections = Array.from({ length: job.connections }, () => openConnection(job.target))
  try {
    const all = (forMs: number): Promise<readonly (readonly number[])[]> => {
      const until = performance.now() + forMs
      return Promise.all(connections.map(({ open }) => askUntil(open, job, until)))
    }
    await all(job.warmUpMs)
    measured()
    const beganAt = performance.now()
    const latenciesMs = (await all(job.windowMs)).flat()
    return { seconds: (performance.now() - beganAt) / 1000, latenciesMs }
  } finally {
    for (const { close } of connections) close()
  }
}

type Question = Pick<RequestsJob, 'path' | 'accept' | 'sha256'>

/** At least one request, then more until the time has come. */
async function askUntil(open: Open, question: Question, until: number): Promise<readonly number[]> {
  const latenciesMs: number[] = []
  let beganAt = performance.now()
  do {
    await ask(open, question)
    const endedAt = performance.now()
    latenciesMs.push(endedAt - beganAt)
    beganAt = endedAt
  } while (beganAt < until)
  return latenciesMs
}

async function ask(open: Open, { path, accept, sha256 }: Question): Promise<void> {
  const response = await answerTo(open({ method: 'GET', path, headers: { accept } }).end())
  const body = await expectStatus(response, 200)
  if (createHash('sha256').update(body).digest('hex') !== sha256) throw new Error(`the body of ${path} is wrong`)
}
