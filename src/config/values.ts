/** The kinds of values that settings have, each parsed once. Every sentence says what is allowed and repeats no value. */
import { isIP } from 'node:net'
import { z } from 'zod'

/** A range of addresses, in the parts that `BlockList.addSubnet` of `node:net` takes. */
export type Network = {
  readonly family: 'ipv4' | 'ipv6'
  readonly address: string
  /** Leading bits that belong to the network: 0 to 32, or 0 to 128 for IPv6. */
  readonly prefixLength: number
}

/** What the documentation says about a key besides its type and default. */
export type KeyNotes = {
  /** Unit of a number: `ms`, `s`. */
  readonly unit?: 'ms' | 's'
  /** The type in words, where `text` or `list` is too little. */
  readonly kind?: string
  /** The value must not appear in any message; the key has a twin that ends in `File`. */
  readonly secret?: true
  /** What happens without the key, where the default is not a value. */
  readonly unset?: string
  /** Values that fit; under a name of ours, because zod drops `examples` from a schema that transforms. */
  readonly samples?: readonly unknown[]
}

/** Gives a key the sentence of the documentation. */
export function key<T extends z.ZodType>(schema: T, sentence: string, notes: KeyNotes = {}): T {
  return schema.meta({ ...notes, description: sentence })
}

/** Reads `input` where the key is absent: a section whose keys all have defaults, or faults of their own. */
export function whenAbsent<T extends z.ZodType>(schema: T, input: unknown): z.ZodPrefault<T> {
  return z.prefault(schema, input as z.input<T>)
}

/**
 * A feature that can be switched off. The keys of a feature may stay in the file while it is off, so that it can be
 * switched by one key or one environment variable; what they say is checked and then dropped.
 */
export function feature<Shape extends z.ZodRawShape>(
  sentence: string,
  initially: boolean,
  switchSentence: string,
  shape: Shape,
) {
  const enabled = z.literal(true)
  const on = z.strictObject({
    enabled: key(
      (initially ? enabled.optional() : enabled).transform((): true => true),
      switchSentence,
    ),
    ...shape,
  })
  const off = z
    .strictObject({ enabled: key(z.literal(false), switchSentence), ...z.object(shape).partial().shape })
    .transform((): { enabled: false } => ({ enabled: false }))
  return key(whenAbsent(z.discriminatedUnion('enabled', [off, on]), { enabled: initially }), sentence)
}

type Parsed<T> = { readonly kind: 'ok'; readonly value: T } | { readonly kind: 'fault'; readonly sentence: string }

function parsedText<T>(parse: (text: string) => Parsed<T>) {
  return z.string().transform((text, context): T => {
    const parsed = parse(text)
    if (parsed.kind === 'ok') return parsed.value
    context.addIssue({ code: 'custom', message: parsed.sentence })
    return z.NEVER
  })
}

const fault = (sentence: string): Parsed<never> => ({ kind: 'fault', sentence })

/** An origin (RFC 6454 section 4): scheme, host and perhaps a port; printed as the URL standard does, without a path. */
export const httpOrigin = parsedText(parseOrigin)

/** An origin that clients type: https, or http where the host is this machine. */
export const publicOrigin = parsedText((text) => {
  const parsed = parseOrigin(text)
  if (parsed.kind === 'fault') return parsed
  const url = new URL(parsed.value)
  if (url.protocol === 'https:' || isLoopbackHost(url.hostname)) return parsed
  return fault('must begin with https://; plain http:// is only for a loopback host such as localhost')
})

function parseOrigin(text: string): Parsed<string> {
  const url = URL.parse(text)
  if (url === null || !/^https?:\/\/[^/]/i.test(text) || /[\s\\]/.test(text)) {
    return fault('must be an address such as https://registry.example.org, with http:// or https:// in front')
  }
  if (text.includes('@')) return fault('must not carry a user name or a password')
  if (url.pathname !== '/' || /[?#]/.test(text)) {
    return fault('must end after the host and the port, without a path, a query or a fragment')
  }
  return { kind: 'ok', value: url.origin }
}

/** Whether a host as `URL.hostname` prints it is this machine: localhost, 127.0.0.0/8 or ::1. */
export function isLoopbackHost(hostname: string): boolean {
  if (hostname === 'localhost' || hostname.endsWith('.localhost') || hostname === '[::1]' || hostname === '::1')
    return true
  return isIP(hostname) === 4 && hostname.startsWith('127.')
}

/** A CIDR range (RFC 4632, RFC 4291 section 2.3) or a single address. */
export const network = parsedText(parseNetwork)

function parseNetwork(text: string): Parsed<Network> {
  const [address = '', prefix, ...rest] = text.split('/')
  const version = address.includes('%') ? 0 : isIP(address)
  const bits = version === 4 ? 32 : 128
  const prefixLength = prefix === undefined ? bits : /^\d{1,3}$/.test(prefix) ? Number(prefix) : -1
  if (version === 0 || rest.length > 0 || prefixLength < 0 || prefixLength > bits) {
    return fault('must be an address or a range of addresses, such as 10.0.0.0/8, 192.0.2.7 or fd00::/8')
  }
  return { kind: 'ok', value: { family: version === 4 ? 'ipv4' : 'ipv6', address, prefixLength } }
}

/** A host, perhaps with a port, in the form of the `host` of a URL: lower case, IPv6 in brackets. */
export const hostAndPort = parsedText((text): Parsed<string> => {
  const url = /[\s/\\@?#*]|:$/.test(text) ? null : URL.parse(`ws://${text}`)
  if (url === null || url.host === '') return fault('must be a host or host:port, such as storage.example.org')
  // The port as written: 80 and 443 are said on purpose here, and URL drops the one its scheme implies.
  const port = /:(\d+)$/.exec(text.replace(/^\[[^\]]*\]/, ''))?.[1]
  return { kind: 'ok', value: port === undefined ? url.hostname : `${url.hostname}:${Number(port)}` }
})

/** An address or name to listen on. */
export const listenHost = parsedText((text): Parsed<string> => {
  const bare = /^\[(.+)\]$/.exec(text)?.[1] ?? text
  if (isIP(bare) !== 0 || /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i.test(bare)) return { kind: 'ok', value: bare }
  return fault('must be an address or a host name to listen on, such as 0.0.0.0, :: or localhost')
})

/** A TCP port; 0 lets the system choose a free one. */
export const port = z.int().min(0).max(65_535)

/** A deadline; none is longer than a day, which also keeps it within what Node's timers can count. */
export const milliseconds = z.int().min(1).max(86_400_000)

/** Text without control characters, which neither a header nor a file name can carry. */
export const plainText = parsedText((text): Parsed<string> => {
  if (text === '') return fault('must not be empty')
  return /[\u0000-\u001f\u007f]/.test(text) ? fault('must not contain control characters') : { kind: 'ok', value: text }
})

/** A user name of HTTP Basic (RFC 7617 section 2), which ends at the first colon. */
export const basicUserName = parsedText((text): Parsed<string> => {
  if (text.includes(':')) return fault('must not contain a colon')
  const parsed = plainText.safeParse(text)
  return parsed.success ? { kind: 'ok', value: parsed.data } : fault(parsed.error.issues[0]?.message ?? 'is not valid')
})

/** A path of a file, as {@link plainText} or made absolute. */
export type PathSchema = typeof plainText | z.ZodPipe<typeof plainText, z.ZodTransform<string, string>>

/** Makes a path of the configuration absolute, or at least relative to the right folder. */
export type ResolvePath = (path: string) => string
