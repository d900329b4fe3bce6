/** Requests that come at a rate whether or not those before them were answered, and how long each of them took. */
import { Agent, request } from 'node:https'
import type { RawTarget } from '../test/support/raw-http-client.ts'
import { tlsOptions } from './load/connection.ts'
import { percentile } from './statistics.ts'

export type Asked = {
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
}

export type Answer = {
  /** 0 when the connection broke, or nothing was answered in ten seconds. */
  readonly status: number
  readonly retryAfterSeconds: number | undefined
  /** When it was sent, by `performance.now()`. */
  readonly sentMs: number
  /** From then until the last byte of the answer. */
  readonly tookMs: number
}

/** A client whose connections are kept: a new one is opened only where every other waits for its answer. */
export type KeptClient = {
  readonly ask: (asked: Asked) => Promise<Answer>
  readonly close: () => void
}

const deadlineMs = 10_000

export function createKeptClient({ port, ca }: RawTarget): KeptClient {
  const agent = new Agent({ ...tlsOptions({ port, ca: ca.toString() }), keepAlive: true })
  return {
    ask: ({ path, headers = {} }) => {
      const { promise, resolve } = Promise.withResolvers<Answer>()
      const sentMs = performance.now()
      const end = (status: number, retryAfter?: string): void => {
        const retryAfterSeconds = retryAfter === undefined ? undefined : Number(retryAfter)
        resolve({ status, retryAfterSeconds, sentMs, tookMs: performance.now() - sentMs })
      }
      const broken = (): void => {
        end(0)
      }
      const signal = AbortSignal.timeout(deadlineMs)
      const asked = request({ agent, host: '127.0.0.1', port, path, headers, signal }, (response) => {
        response.resume().on('error', broken)
        response.once('end', () => {
          end(response.statusCode ?? 0, response.headers['retry-after'])
        })
      })
      asked.on('error', broken).end()
      return promise
    },
    close: () => {
      agent.destroy()
    },
  }
}

export type SteadyLoad<Each extends Answer> = {
  /** What was answered so far. */
  readonly answers: readonly Each[]
  /** The most that waited for their answer at one time. */
  readonly mostUnderWay: () => number
  /** Sends no more, and waits for what is under way. */
  readonly stop: () => Promise<readonly Each[]>
}

const everyMs = 5
const mostLateMs = 100

/** @param ask sends one of them, the first is number 0; must not reject */
export function startSteadyLoad<Each extends Answer>(
  perSecond: number,
  ask: (number: number) => Promise<Each>,
): SteadyLoad<Each> {
  const startedMs = performance.now()
  const answers: Each[] = []
  const underWay = new Set<Promise<void>>()
  let sent = 0
  let most = 0
  const send = (): void => {
    const answered = ask(sent).then((answer) => {
      answers.push(answer)
      underWay.delete(answered)
    })
    sent += 1
    underWay.add(answered)
    most = Math.max(most, underWay.size)
  }
  let passed = 0
  const timer = setInterval(() => {
    const due = ((performance.now() - startedMs) / 1000) * perSecond
    // What this process was late for is made up for, but little of it: a crowd would make it later still.
    passed = Math.max(passed, due - (perSecond * mostLateMs) / 1000)
    for (; passed < due; passed += 1) send()
  }, everyMs)
  return {
    answers,
    mostUnderWay: () => most,
    stop: async () => {
      clearInterval(timer)
      await Promise.all(underWay)
      return answers
    },
  }
}

export type Times = { readonly p50Ms: number; readonly p99Ms: number; readonly slowestMs: number }

export function timesOf(answers: readonly Answer[]): Times {
  const took = answers.map(({ tookMs }) => tookMs)
  return { p50Ms: percentile(took, 50), p99Ms: percentile(took, 99), slowestMs: percentile(took, 100) }
}

export function timesText({ p50Ms, p99Ms, slowestMs }: Times): string {
  return `p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)}, slowest ${slowestMs.toFixed(1)}`
}

/** How often each status was answered, the lowest first: `401 1200, 503 30`. */
export function statusText(answers: readonly Answer[]): string {
  const byStatus = Object.groupBy(answers, ({ status }) => status)
  const counts = Object.entries(byStatus).map(([status, those = []]) => `${status} ${those.length}`)
  return counts.join(', ')
}
