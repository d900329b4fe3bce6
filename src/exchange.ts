import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { RegistryError } from './registry/error.ts'
import type { Principal } from './registry/principal.ts'
import type { RegistryRequest } from './registry/route.ts'
import type { Transfer, TransferOutcome } from './registry/transfer.ts'
import type { ExchangeDecision, ExchangeRecord } from './telemetry/exchange-record.ts'
import { printablePath } from './telemetry/printable.ts'

/** What the stages learn about an exchange while it runs. */
type Facts = {
  readonly request: RegistryRequest
  readonly principal: Principal
  readonly decision: ExchangeDecision
  readonly error: RegistryError
}

/** One request and its response, from the first byte of the head to the close of the response. */
export type Exchange = {
  readonly requestId: string
  /** The client's address, after trusted proxies. */
  readonly clientAddress: string
  /** Counts the bytes of both directions; its `end` says how they came to their end. */
  readonly transfer: Transfer
  /** Ends a transfer with the exchange where nobody did before, and at once where that is over; answers it. */
  hold(transfer: Transfer): Transfer
  /** Adds what has been learned; told to telemetry when the exchange ends. */
  note(facts: Partial<Facts>): void
}

export type ExchangeObserver = {
  exchangeStarted(): void
  exchangeEnded(record: ExchangeRecord): void
}

export type ExchangeDependencies = {
  readonly observe: ExchangeObserver
  readonly clientAddress: (req: IncomingMessage) => string
  readonly newRequestId: () => string
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

/**
 * Where a response holds its exchange. Not in a WeakMap: its values hold on to their keys until the garbage of old age is
 * collected, which made every request live that long.
 */
const held = Symbol('exchange')

function holdsExchange(res: ServerResponse): res is ServerResponse & { readonly [held]: Exchange } {
  return held in res
}

/** The exchange that a response belongs to; beginning one is the first thing that happens to a request. */
export function exchangeOf(res: ServerResponse): Exchange {
  if (!holdsExchange(res)) throw new Error('no exchange was begun for this response')
  return res[held]
}

/** A request whose response is not closed yet, as its connection sees it. */
export type OpenExchange = {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly closed: Promise<void>
}

const open = new WeakMap<Socket, Map<ServerResponse, OpenExchange & { readonly end: () => void }>>()

/** The exchanges that are open on a connection, oldest first; more than one when requests are pipelined. */
export function openExchanges(socket: Socket): readonly OpenExchange[] {
  return [...(open.get(socket)?.values() ?? [])]
}

/**
 * Begins the exchange of a request. It ends exactly once: when the response closes, or when the connection does, which
 * for a pipelined response that was never sent is the only sign.
 */
export function beginExchange(req: IncomingMessage, res: ServerResponse, dependencies: ExchangeDependencies): Exchange {
  const { observe, now } = dependencies
  const startedAtMs = now()
  const startedMs = performance.now()
  const bytes = { up: 0, down: 0 }
  const { method = '', url = '', socket } = req
  const userAgent = req.headers['user-agent']
  const facts: Partial<Facts> = {}
  let outcome: TransferOutcome | undefined
  let outer: Transfer | undefined
  let isOver = false

  const exchange: Exchange = {
    requestId: dependencies.newRequestId(),
    clientAddress: dependencies.clientAddress(req),
    transfer: {
      charge: (direction, count) => {
        bytes[direction] += count
      },
      end: (how) => {
        outcome ??= how
      },
    },
    hold: (transfer) => {
      if (isOver) transfer.end('aborted-by-client')
      else outer = transfer
      return transfer
    },
    note: (learned) => {
      Object.assign(facts, learned)
    },
  }
  const whenClosed = Promise.withResolvers<undefined>()
  function end(): void {
    if (!release(socket, res)) return
    isOver = true
    // What the outer one still has to count is counted before the record is made.
    outer?.end(outcome ?? (res.writableFinished ? 'complete' : 'aborted-by-client'))
    observe.exchangeEnded({
      requestId: exchange.requestId,
      startedAtMs,
      durationMs: performance.now() - startedMs,
      method,
      path: printablePath(url),
      clientAddress: exchange.clientAddress,
      userAgent,
      request: facts.request,
      principal: facts.principal,
      decision: facts.decision,
      error: facts.error,
      status: res.headersSent ? res.statusCode : undefined,
      bytesUp: bytes.up,
      bytesDown: bytes.down,
      outcome: outcome ?? (res.writableFinished ? 'complete' : 'aborted-by-client'),
    })
    whenClosed.resolve(undefined)
  }
  Object.assign(res, { [held]: exchange })
  hold(socket, res, { req, res, closed: whenClosed.promise, end })
  res.once('close', end)
  observe.exchangeStarted()
  return exchange
}

/** One listener for each connection, however many requests are pipelined on it. */
function hold(socket: Socket, res: ServerResponse, exchange: OpenExchange & { readonly end: () => void }): void {
  const known = open.get(socket)
  if (known !== undefined) {
    known.set(res, exchange)
    return
  }
  const all = new Map([[res, exchange]])
  open.set(socket, all)
  socket.once('close', () => {
    for (const { end } of [...all.values()]) end()
  })
}

function release(socket: Socket, res: ServerResponse): boolean {
  return open.get(socket)?.delete(res) ?? false
}

/**
 * Records a connection that was refused before there was a request to begin an exchange with: Node's parser could not
 * read what came, or CONNECT asked for a tunnel.
 */
export function recordRefusedConnection(
  { observe, now }: ExchangeDependencies,
  refused: {
    readonly requestId: string
    readonly address: string
    readonly method: string
    readonly error: RegistryError
  },
): void {
  observe.exchangeStarted()
  observe.exchangeEnded({
    requestId: refused.requestId,
    startedAtMs: now(),
    durationMs: 0,
    method: refused.method,
    path: '',
    clientAddress: refused.address,
    userAgent: undefined,
    request: undefined,
    principal: undefined,
    decision: undefined,
    error: refused.error,
    status: refused.error.status,
    bytesUp: 0,
    bytesDown: 0,
    outcome: 'complete',
  })
}
