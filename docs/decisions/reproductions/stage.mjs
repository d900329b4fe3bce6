/**
 * What the reproductions share: where the packages under test are, servers on a free port of the loopback, a raw
 * client, and deadlines, so that every script ends by itself.
 */
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import net from 'node:net'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'

/**
 * Reads the folder that the packages were installed into: the script's first argument, else REPRODUCTION_PACKAGES.
 * The project does not depend on these packages, so they are never looked for in its own node_modules.
 */
export function openPackages() {
  const { positionals } = parseArgs({ allowPositionals: true })
  const given = positionals[0] ?? process.env.REPRODUCTION_PACKAGES
  if (given === undefined || !existsSync(join(given, 'node_modules'))) {
    process.stderr.write('give the folder that holds the packages; README.md beside this script tells how to fill it\n')
    process.exit(2)
  }
  const folder = resolve(given)
  const load = createRequire(join(folder, 'package.json'))
  const version = (name) => JSON.parse(readFileSync(join(folder, 'node_modules', name, 'package.json'), 'utf8')).version
  return { folder, load, label: (name) => `${name} ${version(name)}` }
}

/** Listens on a free port of the loopback and resolves with it; `close` also ends what is still connected. */
export async function listen(server) {
  const sockets = new Set()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => {})
  })
  await new Promise((done) => server.listen(0, '127.0.0.1', done))
  const close = () => {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
  return { port: server.address().port, close }
}

/** The last bytes of a chunked body that ends as it should. */
const lastChunk = '\r\n0\r\n\r\n'

/**
 * Connects, sends the bytes as they are, and keeps what comes back. `arrived`: the first bytes are here; `ended`: the
 * connection is closed, or a chunked body came to its proper end (`cleanly()` tells which).
 */
export function connectRaw(port, bytes) {
  const socket = net.connect(port, '127.0.0.1', () => socket.write(bytes))
  let received = ''
  let end
  const ended = new Promise((done) => (end = done))
  const arrived = new Promise((done) => socket.once('data', done))
  const cleanly = () => received.endsWith(lastChunk)
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1')
    if (cleanly()) end()
  })
  socket.on('close', end).on('error', () => {})
  return { socket, arrived, ended, cleanly, received: () => received }
}

/** True when the promise settles within the given time. */
export async function within(milliseconds, promise) {
  let timer
  const late = new Promise((done) => (timer = setTimeout(done, milliseconds, false)))
  const settled = await Promise.race([promise.then(() => true), late])
  clearTimeout(timer)
  return settled
}

/** Prints the verdict and ends the process: 0 when everything came out as the decision record says, else 1. */
export function conclude(failures) {
  const wrong = failures.length === 0 ? '' : `: ${failures.join('; ')}`
  process.stdout.write(`\nVERDICT: ${failures.length === 0 ? 'REPRODUCED, as the record says' : `DIFFERENT${wrong}`}\n`)
  process.exit(failures.length === 0 ? 0 : 1)
}
