import { connectFaultClient, headAs } from './fault-client.ts'
import type { FaultClient } from './fault-client.ts'
import { endlessDownload } from './fault-load.ts'
import { neverAnswer } from './fault-upstream.ts'
import type { FaultUpstream, Script } from './fault-upstream.ts'
import type { RawTarget } from './raw-http-client.ts'
import { until } from './until.ts'

export const blob = `/v2/alice/app/blobs/sha256:${'a'.repeat(64)}` as const
export const upload = '/v2/alice/app/blobs/uploads/session-1?_state=x' as const

/** Begins an answer and falls silent. */
export const stalledAnswer: Script = ({ raw }) => {
  raw(`HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n${'x'.repeat(1000)}`)
}
/** A moment in the life of a request at which its client may leave. */
export type Phase = {
  readonly phase: string
  readonly script: Script
  readonly send: string
  /** Whether the moment to leave has come. */
  readonly reached: (upstream: FaultUpstream, client: FaultClient) => boolean
}

const asked = (upstream: FaultUpstream): boolean => upstream.requests.length === 1
export const phases: readonly Phase[] = [
  { phase: 'a download that is awaited', script: neverAnswer, send: headAs(`GET ${blob}`), reached: asked },
  {
    phase: 'a download that has stalled',
    script: stalledAnswer,
    send: headAs(`GET ${blob}`),
    reached: (_upstream, client) => client.received().endsWith('xxx'),
  },
  {
    phase: 'a download that flows',
    script: endlessDownload(new Map()),
    send: headAs(`GET ${blob}`),
    reached: (_upstream, client) => client.received().length > 1_000_000,
  },
  {
    phase: 'a sized upload in the middle of its body',
    script: neverAnswer,
    send: `${headAs(`PATCH ${upload}`, ['Content-Length: 1000'])}only this much`,
    reached: asked,
  },
  {
    phase: 'a chunked upload in the middle of its body',
    script: neverAnswer,
    send: `${headAs(`PATCH ${upload}`, ['Transfer-Encoding: chunked'])}5\r\nhello\r\n`,
    reached: asked,
  },
  {
    phase: 'an upload whose answer is awaited',
    script: neverAnswer,
    send: `${headAs(`PUT ${upload}`, ['Content-Length: 5'])}hello`,
    reached: asked,
  },
  {
    phase: 'a request without a body whose answer is awaited',
    script: neverAnswer,
    send: headAs(`DELETE ${upload}`),
    reached: asked,
  },
]
/** Leaves in every phase in turn, a few dozen clients at a time. */
export async function abortMany(target: RawTarget, upstream: FaultUpstream, count: number): Promise<void> {
  upstream.play((request) => {
    if (request.req.method === 'GET') stalledAnswer(request)
    else neverAnswer(request)
  })
  const sends = [...phases.map(({ send }) => send), headAs(`GET ${blob}`).slice(0, -4)]
  for (let done = 0; done < count; done += 40) {
    const clients = await Promise.all(Array.from({ length: 40 }, () => connectFaultClient(target)))
    await Promise.all(clients.map((client, index) => client.send(sends[index % sends.length] ?? '')))
    // Half of them leave at once, wherever their requests are by then; the others when there is something to cut off.
    clients.slice(20).forEach((client, index) => {
      client.leave(index % 2 === 0 ? 'reset' : 'end')
    })
    await until(() => upstream.open() >= 10, { what: 'requests upstream', intervalMs: 2 })
    clients.slice(0, 20).forEach((client, index) => {
      client.leave(index % 2 === 0 ? 'reset' : 'end')
    })
  }
}
