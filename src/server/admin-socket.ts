import { mkdir, unlink } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { answerAdmin } from './admin-commands.ts'
import type { AdminCommands } from './admin-commands.ts'

export type AdminSocket = { close(): Promise<void> }

/**
 * Listens on a Unix socket that only the owner of the process may open (mode 0600), and answers what is asked there as
 * JSON. A socket that a killed process left behind is replaced; one that answers is somebody else's.
 *
 * @throws Error of the system when the socket cannot be made
 */
export async function openAdminSocket(path: string, commands: AdminCommands): Promise<AdminSocket> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  if (await isAnswered(path)) throw new Error(`${path} belongs to another running gateway`)
  await unlink(path).catch(() => undefined)
  const server = createServer((req, res) => void answer(req, res, commands))
  await listenPrivately(server, path)
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve()
        })
        server.closeAllConnections()
      }),
  }
}

/** The file is made with its final mode, by the mask of the process: there is no moment at which others could connect. */
function listenPrivately(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    const mask = process.umask(0o177)
    server.listen(path, () => {
      server.off('error', reject)
      resolve()
    })
    process.umask(mask)
  })
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => {
      resolve(false)
    })
  })
}

async function answer(req: IncomingMessage, res: ServerResponse, commands: AdminCommands): Promise<void> {
  req.resume()
  const { status, value, allow } = await answerAdmin(req.method ?? '', req.url ?? '', commands)
  const body = `${JSON.stringify(value)}\n`
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
  res.writeHead(status, { ...headers, ...(allow !== undefined && { allow }) }).end(body)
}
