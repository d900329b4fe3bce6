import net from 'node:net'
import { Duplex } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import tls from 'node:tls'
import type { TLSSocket } from 'node:tls'

export type RawHandshake = {
  readonly port: number
  readonly servername?: string
  readonly localAddress?: string
  /** Sent before the ClientHello. */
  readonly header?: Buffer
  /** Every byte of ours travels alone. */
  readonly bytewise?: boolean
  /** The header travels with the beginning of the ClientHello. */
  readonly together?: boolean
  /** The ClientHello is cut into TLS records of this many bytes. */
  readonly recordBytes?: number
}

const recordHeaderBytes = 5

/** The same handshake message in more records, as RFC 8446 section 5.1 allows. */
function cutRecord(record: Buffer, bytes: number): Buffer {
  const message = record.subarray(recordHeaderBytes)
  const parts: Buffer[] = []
  for (let offset = 0; offset < message.length; offset += bytes) {
    const part = message.subarray(offset, offset + bytes)
    parts.push(record.subarray(0, 3), Buffer.of(part.length >> 8, part.length & 0xff), part)
  }
  return Buffer.concat(parts)
}

/** A finished handshake over a TCP connection whose segments are chosen; rejects when it does not come to its end. */
export function overRawSocket(options: RawHandshake): Promise<TLSSocket> {
  const {
    port,
    servername = 'localhost',
    localAddress = '127.0.0.1',
    header,
    bytewise = false,
    together = false,
    recordBytes,
  } = options
  return new Promise((resolve, reject) => {
    const raw = net.connect({ host: '127.0.0.1', port, localAddress, noDelay: true })
    let before = header
    let isHello = true
    async function send(plain: Buffer): Promise<void> {
      const chunk = isHello && recordBytes !== undefined ? cutRecord(plain, recordBytes) : plain
      isHello = false
      const parts = before === undefined ? [chunk] : together ? [Buffer.concat([before, chunk])] : [before, chunk]
      before = undefined
      for (const part of bytewise ? [...Buffer.concat(parts)].map((byte) => Buffer.of(byte)) : parts) {
        raw.write(part)
        await turn()
      }
    }
    const carrier = new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _encoding, done) => {
        void send(chunk).then(() => {
          done()
        })
      },
      final: (done) => {
        raw.end(done)
      },
    })
    raw.on('data', (chunk) => carrier.push(chunk)).on('end', () => carrier.push(null))
    raw.on('error', (error) => carrier.destroy(error)).on('close', () => carrier.destroy())
    const secure = tls.connect({ socket: carrier, rejectUnauthorized: false, servername }, () => {
      secure.off('error', reject).on('error', () => undefined)
      resolve(secure)
    })
    secure.once('error', reject).once('close', () => {
      reject(new Error('closed before the handshake was done'))
    })
  })
}
