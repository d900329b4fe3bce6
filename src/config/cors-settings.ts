/** The settings of pages in a browser that may use the registry. */
import { isIP } from 'node:net'
import { z } from 'zod'
import { feature, key, publicOrigin } from './values.ts'

/** Whose pages may read: one origin, or every origin with exactly one label in front of `suffix`. */
export type OriginPattern =
  | {
      readonly kind: 'exact'
      /** As browsers write it in `Origin` (Fetch standard, "serializing a request origin"). */
      readonly origin: string
    }
  | {
      readonly kind: 'any-label'
      /** `https://` or `http://`. */
      readonly prefix: string
      /** From the dot behind the label to the end, the port included: `.example.org:8443`. */
      readonly suffix: string
    }

const originPattern = z.string().transform((text, context): OriginPattern => {
  const refuse = (message: string): never => {
    context.addIssue({ code: 'custom', message })
    return z.NEVER
  }
  if (text === '*' || /^https?:\/\/\*(?::\d+)?\/?$/i.test(text)) {
    return refuse('must name a host: any page on the internet could use the logins of those who visit it')
  }
  if (text === 'null') return refuse('must not be null, which is what every sandboxed frame and local file says it is')
  const wildcard = /^(https?:\/\/)\*\.(.*)$/i.exec(text)
  const [, scheme = '', base = ''] = wildcard ?? []
  if ((wildcard === null ? text : base).includes('*')) {
    return refuse('may have one * only, as the whole first label, such as https://*.example.org')
  }
  const parsed = publicOrigin.safeParse(wildcard === null ? text : scheme + base)
  if (!parsed.success) return refuse(parsed.error.issues[0]?.message ?? 'is not an origin')
  if (wildcard === null) return { kind: 'exact', origin: parsed.data }
  const { hostname, host, protocol } = new URL(parsed.data)
  if (isIP(hostname.replace(/^\[|\]$/g, '')) !== 0) return refuse('must not have a * in an address')
  if (!/[^.]\.[^.]/.test(hostname)) {
    return refuse('must have two labels or more behind the *: one alone would be a whole top-level domain')
  }
  return { kind: 'any-label', prefix: `${protocol}//`, suffix: `.${host}` }
})

export const cors = feature(
  'Pages in a browser, such as a registry UI, that may use the registry from another origin (CORS).',
  false,
  'Whether any may. While it is off, browsers keep every answer from pages of other origins.',
  {
    origins: key(
      z.array(originPattern).min(1),
      'The origins of these pages: scheme, host and perhaps a port. `*` as the first label stands for exactly one label: ' +
        '`https://*.example.org` is `https://ui.example.org` and neither `https://example.org` nor ' +
        '`https://a.b.example.org`. `http://` is only for a loopback host.',
      { kind: 'list of origins', samples: [['https://ui.example.org', 'https://*.apps.example.org']] },
    ),
    allowCredentials: key(
      z.boolean().default(true),
      'Whether browsers may send along the login that they keep for the gateway themselves. A page may always send an ' +
        '`Authorization` header of its own.',
    ),
    maxAgeSeconds: key(
      z.int().min(0).max(86_400).default(600),
      'How long a browser may remember what is allowed; the browsers have limits of their own.',
      { unit: 's' },
    ),
  },
)
