/** Where Redis servers are, and the parts of a `redis://` address. Nothing here repeats what it was given. */
import { z } from 'zod'

/** A server to connect to. */
export type RedisAddress = {
  /** A name, an IPv4 address, or an IPv6 address without brackets. */
  readonly host: string
  readonly port: number
}

/** A `redis://` or `rediss://` address, taken apart. */
export type RedisUrl = RedisAddress & {
  /** Whether it begins with `rediss://`. */
  readonly isTls: boolean
  readonly username?: string
  readonly password?: string
  readonly database?: number
}

const urlSentence =
  'must be an address such as redis://redis.example.org:6379, or rediss:// for TLS; a host, perhaps a port, and ' +
  'perhaps /database'

/** Reads the registered forms of an address of Redis, without a query. The port is 6379 where none is named. */
export const redisUrl = z.string().transform((text, context): RedisUrl => {
  const parsed = parseRedisUrl(text)
  if (typeof parsed !== 'string') return parsed
  context.addIssue({ code: 'custom', message: parsed })
  return z.NEVER
})

/** The parts of an address, or the sentence that says what is wrong. */
function parseRedisUrl(text: string): RedisUrl | string {
  const scheme = /^rediss?:\/\/(?=[^/])/i.exec(text)?.[0].toLowerCase()
  const url = scheme === undefined || /[\s\\]/.test(text) ? null : URL.parse(text)
  if (url === null || url.hostname === '') return urlSentence
  if (/[?#]/.test(text)) return 'must not have a query or a fragment; what it would say has keys of its own'
  const database = /^\/(\d{1,5})?$/.exec(url.pathname === '' ? '/' : url.pathname)
  if (database === null) return 'must end after the port or with the number of a database, such as /0'
  const [username, password] = [decoded(url.username), decoded(url.password)]
  if (username === undefined || password === undefined)
    return 'must have the user name and the password percent-encoded: a % in them is written %25'
  return {
    host: bareHost(url.hostname),
    port: url.port === '' ? 6379 : Number(url.port),
    isTls: scheme === 'rediss://',
    ...(username === '' ? {} : { username }),
    ...(password === '' ? {} : { password }),
    ...(database[1] === undefined ? {} : { database: Number(database[1]) }),
  }
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

function bareHost(hostname: string): string {
  return hostname.replace(/^\[(.*)\]$/, '$1').toLowerCase()
}

/** Reads `host` or `host:port`, IPv6 in brackets. */
export function redisAddress(defaultPort: number) {
  return z.string().transform((text, context): RedisAddress => {
    const url = /[\s/\\@?#*]|:$/.test(text) ? null : URL.parse(`redis://${text}`)
    if (url !== null && url.hostname !== '' && url.port !== '0')
      return { host: bareHost(url.hostname), port: url.port === '' ? defaultPort : Number(url.port) }
    const message = `must be a host or host:port, such as redis-1.example.org:${defaultPort}; IPv6 in brackets`
    context.addIssue({ code: 'custom', message })
    return z.NEVER
  })
}
