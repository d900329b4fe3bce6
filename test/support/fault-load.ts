import type { Socket } from 'node:net'
import { piecesOf, sha256 } from './fault-bytes.ts'
import { connectFaultClient, headAs } from './fault-client.ts'
import type { FaultClient } from './fault-client.ts'
import type { GatewayProcess } from './fault-gateway.ts'
import { pushBlob } from './fault-push.ts'
import type { Script, UpstreamRequest } from './fault-upstream.ts'
import { until } from './until.ts'

/** Pushes a blob to as many repositories at once, then pulls them all at once; counts what came through equal. */
export async function pushAndPullAtOnce(
  gateway: Pick<GatewayProcess, 'asAlice'>,
  count: number,
  bytes: number,
): Promise<{ readonly pushed: number; readonly pulled: number }> {
  const repositories = Array.from({ length: count }, (_, index) => `alice/parallel-${index}`)
  const pushes = await Promise.all(repositories.map((repository) => pushBlob(gateway.asAlice, repository, bytes)))
  const pulls = await Promise.all(
    pushes.map(({ digest }, index) =>
      gateway.asAlice({ path: `/v2/${repositories[index] ?? ''}/blobs/${digest}` }).then((pulled) => ({
        isEqual: pulled.status === 200 && pulled.bytes === bytes && pulled.digest === digest,
      })),
    ),
  )
  return {
    pushed: pushes.filter(({ answer }) => answer.status === 201).length,
    pulled: pulls.filter(({ isEqual }) => isEqual).length,
  }
}

/** Answers with a body without end, as fast as it is taken; `sent` counts what left the process, by connection. */
export function endlessDownload(sent: Map<Socket, number>): Script {
  return ({ res, connection: { socket } }: UpstreamRequest) => {
    res.writeHead(200, { 'content-length': 10 ** 12 })
    const block = Buffer.alloc(64 * 1024)
    const write = (): void => {
      for (let goOn = !res.destroyed; goOn; goOn = res.write(block) && !res.destroyed) {
        sent.set(socket, (sent.get(socket) ?? 0) + block.length)
      }
    }
    res.on('drain', write)
    write()
  }
}

/** Begins a download that is then not read. */
export async function stalledReader(gateway: GatewayProcess): Promise<FaultClient> {
  const client = await connectFaultClient(gateway.target)
  client.pause()
  await client.send(headAs(`GET /v2/alice/app/blobs/${sha256('anything')}`))
  return client
}

/** Begins an upload and sends as fast as it is taken; `sent` tells how much that is so far. */
export async function eagerSender(
  gateway: GatewayProcess,
  bytes: number,
): Promise<{ readonly client: FaultClient; readonly sent: () => number }> {
  const client = await connectFaultClient(gateway.target)
  let sent = 0
  await client.send(headAs('PATCH /v2/alice/app/blobs/uploads/session?_state=x', [`Content-Length: ${bytes}`]))
  const sendAll = async (): Promise<void> => {
    for (const piece of piecesOf(bytes)) {
      await client.send(piece)
      if (client.isClosed()) return
      sent += piece.length
    }
  }
  void sendAll()
  return { client, sent: () => sent }
}

/** Waits until a count has not moved for two seconds; resolves with it. */
export async function standstill(count: () => number): Promise<number> {
  let seen = -1
  let since = performance.now()
  await until(
    () => {
      const now = count()
      if (now !== seen) since = performance.now()
      seen = now
      return seen > 0 && performance.now() - since > 2_000
    },
    { what: 'a count stands still', deadlineMs: 90_000 },
  )
  return seen
}
