import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { ListenError } from '../listener/listen.ts'

export type AdminListener = {
  /** @returns the port that was bound. @throws ListenError when the address cannot be had */
  listen(): Promise<number>
  close(): Promise<void>
}

/** The plain-HTTP listener for metrics and health; there is no login on it. */
export function createAdminListener(
  { host, port }: { readonly host: string; readonly port: number },
  handler: (req: IncomingMessage, res: ServerResponse) => void,
): AdminListener {
  const server = createServer(handler)
  return {
    listen: () =>
      new Promise((resolve, reject) => {
        const onError = (cause: NodeJS.ErrnoException): void => {
          reject(new ListenError(host, port, cause))
        }
        server.once('error', onError)
        server.listen(port, host, () => {
          server.off('error', onError)
          resolve((server.address() as AddressInfo).port)
        })
      }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve()
        })
        server.closeAllConnections()
      }),
  }
}
