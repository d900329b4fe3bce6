import { lookup as systemLookup } from 'node:dns'
import type { LookupAddress } from 'node:dns'
import type { LookupFunction } from 'node:net'

/** Asks the system for all addresses of a name. */
export type Resolve = (
  hostname: string,
  done: (error: NodeJS.ErrnoException | null, addresses: readonly LookupAddress[]) => void,
) => void

export type LastGoodLookupOptions = {
  readonly resolve?: Resolve
  /** After this long the last good addresses are used, while the question goes on; in milliseconds. */
  readonly patienceMs?: number
  /** How long addresses count as good, in milliseconds. */
  readonly goodForMs?: number
  readonly now?: () => number
}

type Answer = Parameters<LookupFunction>[2]
type Name = {
  readonly waiting: Set<() => void>
  isAsked: boolean
  error: NodeJS.ErrnoException | null
  addresses: readonly LookupAddress[]
  knownAt: number
}

const askSystem: Resolve = (hostname, done) => {
  systemLookup(hostname, { all: true }, done)
}

/**
 * Looks names up for new connections. Each asks anew, so another address is found at once; where the resolver fails or
 * takes long, the last good addresses serve for a while. One question a name is under way at a time: `getaddrinfo` holds
 * a thread of the pool that password checks and files need too.
 */
export function createLastGoodLookup(options: LastGoodLookupOptions = {}): LookupFunction {
  const { resolve = askSystem, patienceMs = 1_000, goodForMs = 300_000, now = () => performance.now() } = options
  const names = new Map<string, Name>()

  function nameOf(hostname: string): Name {
    const known = names.get(hostname)
    if (known !== undefined) return known
    const name: Name = { waiting: new Set(), isAsked: false, error: null, addresses: [], knownAt: -Infinity }
    names.set(hostname, name)
    return name
  }

  function ask(hostname: string, name: Name): void {
    if (name.isAsked) return
    name.isAsked = true
    resolve(hostname, (error, addresses) => {
      name.isAsked = false
      name.error = error
      if (error === null && addresses.length > 0) Object.assign(name, { addresses, knownAt: now() })
      for (const settle of [...name.waiting]) settle()
    })
  }

  return (hostname, { all = false, family }, answer) => {
    const name = nameOf(hostname)
    const isGood = (): boolean => now() - name.knownAt <= goodForMs
    const settle = (): void => {
      clearTimeout(timer)
      name.waiting.delete(settle)
      if (isGood()) give(name.addresses, { all, family }, answer)
      else answer(name.error ?? notFound(hostname), [])
    }
    const timer = setTimeout(() => {
      if (isGood()) settle()
    }, patienceMs)
    name.waiting.add(settle)
    ask(hostname, name)
  }
}

function give(
  addresses: readonly LookupAddress[],
  { all, family }: { readonly all: boolean; readonly family: number | 'IPv4' | 'IPv6' | undefined },
  answer: Answer,
): void {
  const only = family === 'IPv4' ? 4 : family === 'IPv6' ? 6 : family
  const fitting = addresses.filter((each) => only === undefined || only === 0 || each.family === only)
  const [first] = fitting
  if (all) answer(null, fitting)
  else if (first === undefined) answer(notFound('it'), '')
  else answer(null, first.address, first.family)
}

function notFound(hostname: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${hostname} has no address`), { code: 'ENOTFOUND' })
}
