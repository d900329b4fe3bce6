import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Health } from './health.ts'
import type { Metrics } from './metrics.ts'

export type AdminDependencies = { readonly metrics: Pick<Metrics, 'exposition'>; readonly health: Health }

type Answer = {
  readonly status: 200 | 404 | 405 | 500 | 503
  readonly contentType: string
  readonly body: string
}

/**
 * The handler of the admin listener: GET and HEAD of `/metrics`, `/livez`, `/readyz` and `/startupz`, exactly these.
 * It reads nothing of a request but its method and target, changes nothing, and knows no user's data.
 */
export function createAdminHandler(
  dependencies: AdminDependencies,
): (req: IncomingMessage, res: ServerResponse) => void {
  const routes = adminRoutes(dependencies)
  return (req, res) => {
    req.resume()
    const path = (req.url ?? '').split('?', 1)[0] ?? ''
    const route = routes.get(path)
    const reads = req.method === 'GET' || req.method === 'HEAD'
    if (route === undefined) send(res, status(404, 'not found'))
    else if (!reads) send(res.setHeader('allow', 'GET, HEAD'), status(405, 'method not allowed'))
    else
      void route().then(
        (answer) => {
          send(res, answer)
        },
        () => {
          send(res, status(500, 'the metrics could not be collected'))
        },
      )
  }
}

function adminRoutes({ metrics, health }: AdminDependencies): ReadonlyMap<string, () => Promise<Answer>> {
  const readiness = (): Answer => {
    const reason = health.unreadiness()
    return reason === undefined ? status(200, 'ready') : status(503, reason)
  }
  const exposition = async (): Promise<Answer> => {
    const { contentType, text } = await metrics.exposition()
    return { status: 200, contentType, body: text }
  }
  return new Map([
    ['/metrics', exposition],
    ['/livez', () => Promise.resolve(status(200, 'alive'))],
    ['/readyz', () => Promise.resolve(readiness())],
    [
      '/startupz',
      () => Promise.resolve(health.phase() === 'starting' ? status(503, 'starting') : status(200, 'started')),
    ],
  ])
}

function status(code: Answer['status'], text: string): Answer {
  return { status: code, contentType: 'application/json', body: `${JSON.stringify({ status: text })}\n` }
}

function send(res: ServerResponse, { status: code, contentType, body }: Answer): void {
  res.writeHead(code, {
    'content-type': contentType,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  })
  // Node sends no body on HEAD.
  res.end(body)
}
