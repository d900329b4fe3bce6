import type { StoreFault } from '../telemetry/labels.ts'
import { printable } from '../telemetry/printable.ts'

/**
 * What the first word of an error of Redis means. Redis 6.2 puts the error of a command of a script behind the words
 * "Error running script", so the word is looked for after a hyphen too.
 */
const faultsByWord: Readonly<Record<string, StoreFault>> = {
  READONLY: 'readonly',
  MISCONF: 'readonly',
  NOREPLICAS: 'readonly',
  MASTERDOWN: 'readonly',
  LOADING: 'loading',
  BUSY: 'timeout',
  OOM: 'memory',
  NOAUTH: 'login',
  WRONGPASS: 'login',
  NOPERM: 'login',
  DENIED: 'login',
  CLUSTERDOWN: 'cluster',
  CROSSSLOT: 'cluster',
  MOVED: 'cluster',
  ASK: 'cluster',
  TRYAGAIN: 'cluster',
}
const word = new RegExp(`(?:^|\\s-)(${Object.keys(faultsByWord).join('|')})\\b`)

const sentences: readonly (readonly [RegExp, StoreFault])[] = [
  [/^ERR (?:invalid password|AUTH |Client sent AUTH)/, 'login'],
  [/^ERR max number of clients reached/, 'down'],
  [/^Too many Cluster redirections|slots cache/, 'cluster'],
  [/Command timed out|Socket timeout|ETIMEDOUT/, 'timeout'],
]

/**
 * Why Redis did not do what it was asked, from what ioredis throws. Whatever is no answer of Redis is a connection that
 * does not stand.
 */
export function storeFaultOf(error: unknown): StoreFault {
  const message = messageOf(error)
  const known = word.exec(message)?.[1]
  if (known !== undefined) return faultsByWord[known] ?? 'other'
  // A cluster that was not found says why for the server that was asked last.
  const last = propertyOf(error, 'lastNodeError')
  if (last !== undefined) return storeFaultOf(last)
  const fault = sentences.find(([pattern]) => pattern.test(message))?.[1]
  return fault ?? (isReply(error) ? 'other' : 'down')
}

/** Whether Redis does not know a script by its hash, which it forgets with a restart. */
export function isUnknownScript(error: unknown): boolean {
  return /^NOSCRIPT\b/.test(messageOf(error))
}

/** Whether another connection could lead to a server that takes writes. */
export function isOfReplica(error: unknown): boolean {
  return /(?:^|\s-)(?:READONLY|MASTERDOWN)\b/.test(messageOf(error))
}

/**
 * What an error says, fit for a log. Redis repeats the arguments of a command it does not know, which for AUTH is the
 * password; the errors of ioredis carry all arguments and are not passed on at all.
 */
export function reasonOf(error: unknown): string {
  const inner = propertyOf(error, 'lastNodeError')
  if (inner !== undefined) return reasonOf(inner)
  // Where a name has several addresses, Node tells why each of them failed.
  const errors = propertyOf(error, 'errors')
  const message = messageOf(error) || messageOf(Array.isArray(errors) ? errors[0] : undefined)
  return printable(message.replace(/,?\s*with args beginning with[^]*$/, '')) || 'no reason was given'
}

function isReply(error: unknown): boolean {
  return propertyOf(error, 'name') === 'ReplyError'
}

function messageOf(error: unknown): string {
  const message = propertyOf(error, 'message')
  return typeof message === 'string' ? message : ''
}

/** Under jest, what Node throws is an Error of another realm, so its class says nothing. */
function propertyOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}
