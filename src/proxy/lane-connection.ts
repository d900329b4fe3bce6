/** A connection of the blob lane: it reads into buffers of our own, and knows nothing of HTTP. */
import net from 'node:net'
import type { LookupFunction, Socket } from 'node:net'
import tls from 'node:tls'
import { readSizes } from './buffer-pool.ts'
import type { BufferPool, ReadSize } from './buffer-pool.ts'

/** Bytes that were read. Whoever gets a piece owns its buffer and gives it back to the pool when nothing uses it any more. */
export type Piece = { readonly buffer: Buffer; readonly length: number }

/** Who reads a connection at the moment; without a reader a byte that comes is one too many. */
export type Reader = {
  /** Size of the next read. */
  readonly wantedSize: () => ReadSize
  /** Takes a piece. After {@link LaneConnection.pause} up to three more may still come on a TLS connection. */
  readonly take: (piece: Piece) => void
  /** The connection ended or failed; told once, and nothing comes after it. */
  readonly end: (cause: Error) => void
}

export type LaneConnection = {
  /** Whether it is up, TLS included. */
  readonly isReady: boolean
  /** Whether it is open in both directions, as far as is known. */
  readonly isOpen: boolean
  /** When it was begun, by `performance.now()`. */
  readonly openedAtMs: number
  /** Hands the reading side to a reader, or to nobody: the connection then only waits to be used again. */
  read(reader: Reader | undefined): void
  pause(): void
  resume(): void
  /** Writes a request; before the connection is up it waits. */
  write(bytes: Buffer): void
  /** Ends an idle connection after this long, in milliseconds. */
  expireAfter(ms: number): void
  destroy(): void
}

export type LaneTarget = {
  readonly host: string
  readonly port: number
  readonly lookup: LookupFunction
  /** TLS with these authorities besides Node's own; plain TCP when undefined. */
  readonly tls: { readonly ca: readonly string[] | undefined } | undefined
}

/**
 * Opens a connection whose reads go into buffers of the pool (`onread`), which saves an allocation of 64 KiB for each.
 *
 * Node asks for the next buffer when a callback returns and never when reading goes on after a pause, so the buffer for
 * the next read is taken before the callback hands the full one over: no buffer that somebody holds is ever read into.
 *
 * @param onReady called once, when it is up
 */
export function openLaneConnection(target: LaneTarget, buffers: BufferPool, onReady: () => void): LaneConnection {
  let reader: Reader | undefined
  let next = buffers.take(readSizes[0])
  let ready = false
  let ended = false
  const onread = {
    buffer: () => next,
    callback: (length: number): boolean => {
      const buffer = next
      next = buffers.take(reader?.wantedSize() ?? readSizes[0])
      if (reader === undefined) end(new Error('the upstream sent bytes that nobody asked for'))
      else reader.take({ buffer, length })
      return !socket.isPaused()
    },
  }
  const socket = connect(target, onread)
  // The buffer that stands ready to be read into may still be in the kernel's hands: dropped, not given back.
  const end = (cause: Error): void => {
    if (ended) return
    ended = true
    socket.destroy()
    reader?.end(cause)
    reader = undefined
  }
  socket.setNoDelay(true).setKeepAlive(true, 15_000)
  socket.once(target.tls === undefined ? 'connect' : 'secureConnect', () => {
    ready = true
    onReady()
  })
  socket.on('error', end)
  socket.once('end', () => {
    end(new Error('the upstream ended the connection'))
  })
  socket.once('close', () => {
    end(new Error('the connection to the upstream closed'))
  })
  socket.on('timeout', () => socket.destroy())
  const openedAtMs = performance.now()
  return {
    get isReady() {
      return ready
    },
    get isOpen() {
      return !ended && socket.readable && socket.writable
    },
    openedAtMs,
    read: (given) => {
      reader = given
      if (given !== undefined) socket.setTimeout(0)
    },
    pause: () => {
      socket.pause()
    },
    resume: () => {
      if (!ended) socket.resume()
    },
    write: (bytes) => {
      socket.write(bytes)
    },
    expireAfter: (ms) => {
      socket.setTimeout(ms)
    },
    destroy: () => {
      end(new Error('the gateway let go of the connection'))
    },
  }
}

type OnRead = { readonly buffer: () => Buffer; readonly callback: (length: number) => boolean }

function connect({ host, port, lookup, tls: secure }: LaneTarget, onread: OnRead): Socket {
  if (secure === undefined) return net.connect({ host, port, lookup, onread })
  const servername = net.isIP(host) === 0 ? host : undefined
  const options = { host, port, lookup, onread, ALPNProtocols: ['http/1.1'], ...(secure.ca && { ca: [...secure.ca] }) }
  return tls.connect({ ...options, ...(servername !== undefined && { servername }) })
}
