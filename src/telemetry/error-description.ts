import { isNativeError } from 'node:util/types'
import { RegistryError } from '../registry/error.ts'
import { printable, withoutSecrets } from './printable.ts'

/** What the log tells of an error: a closed list of its properties, since others carry requests, headers and input. */
export type ErrorDescription = {
  readonly name: string
  readonly message: string
  /** Row of the error table. */
  readonly id?: string
  /** Code of Node or of the library, such as ECONNREFUSED. */
  readonly code?: string
  /** Only for errors without a code: a fault of the program. */
  readonly stack?: string
  readonly cause?: ErrorDescription
  /** The parts of an AggregateError: one per address that was tried. */
  readonly errors?: readonly ErrorDescription[]
}

const maxDepth = 6
const maxParts = 4
const maxStackLines = 12

/** Describes an error and the chain of its causes for the log; what is thrown need not be an Error. */
export function describeError(error: unknown, depth = 1): ErrorDescription {
  if (!isNativeError(error) && !(error instanceof Error))
    return { name: typeof error, message: sentenceOf(String(error)) }
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined
  const parts: readonly unknown[] = 'errors' in error && Array.isArray(error.errors) ? error.errors : []
  const isFault = code === undefined && parts.length === 0
  return {
    name: error.name,
    message: sentenceOf(error.message),
    ...(error instanceof RegistryError ? { id: error.id } : {}),
    ...(code === undefined ? {} : { code: printable(code) }),
    ...(isFault && error.stack !== undefined ? { stack: stackOf(error.stack) } : {}),
    ...(error.cause === undefined || depth === maxDepth ? {} : { cause: describeError(error.cause, depth + 1) }),
    ...(parts.length === 0 || depth === maxDepth
      ? {}
      : { errors: parts.slice(0, maxParts).map((part) => describeError(part, depth + 1)) }),
  }
}

function sentenceOf(text: string): string {
  return printable(withoutSecrets(text.slice(0, 2_000)))
}

/** The frames alone: the message stands before them, and may have been made of anything. */
function stackOf(stack: string): string {
  const frames = stack.split('\n').filter((line) => /^\s+at /.test(line))
  return frames
    .slice(0, maxStackLines)
    .map((line) => line.trim())
    .join('\n')
}
