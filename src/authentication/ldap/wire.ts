import type { Socket } from 'node:net'
import { UnbindRequest } from 'ldapts'
import type { Message } from 'ldapts'
import type { Clock } from '../clock.ts'
import { readAnswer } from './answer.ts'
import type { LdapAnswer, LdapEntry } from './answer.ts'
import { BerFault, createMessageReader, MessageTooLarge } from './ber.ts'
import { LdapError } from './ldap-error.ts'

/** The end of an operation, and what came before it. */
export type Exchange = Extract<LdapAnswer, { readonly kind: 'done' }> & {
  readonly entries: readonly LdapEntry[]
  /** How many parts of the answer are said to be elsewhere. */
  readonly references: number
}

export type Wire = {
  /**
   * Sends one request and waits for its end. One at a time, so that there is nothing that an answer could be taken for
   * besides this: what belongs to another request, or to none, ends the connection and is nobody's answer.
   *
   * @param operation that the answer must be of
   * @param maxEntries more of them end the connection
   * @throws LdapError
   */
  exchange(
    request: (messageId: number) => Message,
    operation: Exchange['operation'],
    maxEntries: number,
  ): Promise<Exchange>
  isOpen(): boolean
  /** Ends it politely; what is under way fails. */
  close(): void
  /**
   * Lets go of the socket, for TLS to be put around it.
   *
   * @throws LdapError when more has come than was asked for: it came in clear, whoever it is from
   */
  release(): void
}

export type WireOptions = {
  readonly socket: Socket
  /** The server, for messages. */
  readonly name: string
  readonly operationTimeoutMs: number
  readonly clock: Clock
}

/** Longer messages are not read: 1 MiB. */
export const maxMessageBytes = 1_048_576

type UnderWay = {
  readonly id: number
  readonly operation: Exchange['operation']
  readonly maxEntries: number
  readonly entries: LdapEntry[]
  references: number
  readonly resolve: (exchange: Exchange) => void
  readonly reject: (error: LdapError) => void
}

/**
 * Speaks LDAP (RFC 4511) over a socket that stands. There is no way back to life for it: after any fault the socket is
 * gone, and whoever wants to go on needs a new one, with all its checks.
 */
export function createWire({ socket, name, operationTimeoutMs, clock }: WireOptions): Wire {
  const reader = createMessageReader(maxMessageBytes)
  let underWay: UnderWay | undefined
  let lastId = 0
  let ended: LdapError | undefined

  function fail(error: LdapError): void {
    ended ??= error
    socket.destroy()
    const waiting = underWay
    underWay = undefined
    waiting?.reject(error)
  }

  function onData(chunk: Buffer): void {
    try {
      for (const message of reader.take(chunk)) onAnswer(readAnswer(message))
    } catch (error) {
      if (!(error instanceof BerFault)) throw error
      const fault = error instanceof MessageTooLarge ? 'answerTooLarge' : 'protocolFault'
      fail(new LdapError(fault, `${name} sent ${error.message}`, { cause: error }))
    }
  }

  function onAnswer(answer: LdapAnswer): void {
    if (ended !== undefined) return
    if (underWay === undefined || answer.id !== underWay.id) {
      const text = answer.id === 0 && answer.kind === 'done' ? `: ${answer.result.message}` : ''
      const what = answer.id === 0 ? `said that it ends the connection${text}` : 'answered what nobody asked'
      fail(new LdapError(answer.id === 0 ? 'connectionLost' : 'protocolFault', `${name} ${what}`))
      return
    }
    switch (answer.kind) {
      case 'entry':
        underWay.entries.push(answer.entry)
        if (underWay.operation !== 'search' || underWay.entries.length > underWay.maxEntries)
          fail(new LdapError('protocolFault', `${name} sent more entries than it was asked for`))
        break
      case 'reference':
        underWay.references += 1
        break
      case 'done':
        onDone(underWay, answer)
        break
    }
  }

  function onDone(waiting: UnderWay, answer: Extract<LdapAnswer, { readonly kind: 'done' }>): void {
    if (answer.operation !== waiting.operation) {
      fail(
        new LdapError('protocolFault', `${name} answered a ${waiting.operation} with the end of a ${answer.operation}`),
      )
      return
    }
    underWay = undefined
    waiting.resolve({ ...answer, entries: waiting.entries, references: waiting.references })
  }

  const onClose = (): void => {
    fail(new LdapError('connectionLost', `${name} closed the connection`))
  }
  const onError = (error: Error): void => {
    fail(new LdapError('connectionLost', `the connection to ${name} broke: ${error.message}`, { cause: error }))
  }
  socket.on('data', onData)
  socket.on('error', onError)
  socket.on('close', onClose)
  socket.on('end', onClose)

  return {
    exchange: (request, operation, maxEntries) =>
      new Promise((resolve, reject) => {
        if (ended !== undefined || socket.destroyed || underWay !== undefined) {
          reject(ended ?? new LdapError('connectionLost', `the connection to ${name} is not free`))
          return
        }
        lastId += 1
        const cancel = clock.after(operationTimeoutMs, () => {
          const waited = `did not answer within ${operationTimeoutMs} ms (authentication.ldap.operationTimeoutMs)`
          fail(new LdapError('operationTimeout', `${name} ${waited}`))
        })
        underWay = {
          ...{ id: lastId, operation, maxEntries, entries: [], references: 0 },
          resolve: (exchange) => {
            cancel()
            resolve(exchange)
          },
          reject: (error) => {
            cancel()
            reject(error)
          },
        }
        socket.write(request(lastId).write())
      }),
    isOpen: () => ended === undefined && !socket.destroyed && socket.writable,
    close() {
      if (ended !== undefined) return
      lastId += 1
      socket.end(new UnbindRequest({ messageId: lastId }).write())
      socket.destroySoon()
      fail(new LdapError('connectionLost', `the connection to ${name} was closed here`))
    },
    release() {
      for (const [event, listener] of [
        ['data', onData] as const,
        ['close', onClose] as const,
        ['end', onClose] as const,
      ])
        socket.off(event, listener)
      socket.off('error', onError)
      socket.pause()
      if (ended !== undefined) throw ended
      const rest = reader.pendingBytes() + socket.readableLength
      ended = new LdapError('connectionLost', 'the socket is in other hands')
      if (rest > 0)
        throw new LdapError('tlsFailed', `${name} sent ${rest} bytes in clear behind its answer to StartTLS`)
    },
  }
}
