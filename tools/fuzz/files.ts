/** What an operator writes, or an editor that died half-way: the configuration and the file of users. */
import { isUtf8 } from 'node:buffer'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { costOf, parseHtpasswd } from '../../src/authentication/htpasswd.ts'
import { parseDocument } from '../../src/config/document.ts'
import { printProblem, readConfig } from '../../src/config/load.ts'
import type { ConfigReading } from '../../src/config/load.ts'
import { mutatedBytes } from './bytes.ts'
import { createFuzzTarget, must } from './target.ts'

const hash = (letter: string, cost = '10'): string => `$2y$${cost}$${letter.repeat(21)}O${letter.repeat(30)}O`
const htpasswdCorpus = [
  `alice:${hash('a')}\nbob:${hash('b', '12')}\n`,
  `\xef\xbb\xbf# users\r\n\r\nalice:${hash('c')}\r\nalice:${hash('d')}\r\n`,
  `ci:${hash('e', '04')}\nold:{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=\nmd5:$apr1$x$y\nnobody\n:\n`,
  `\xc3\xbc:${hash('f', '31')}\n__proto__:${hash('g')}\nconstructor:${hash('h')}\n`,
]

/** The users of a file, written down again, are the same users; what is said of a line does not repeat its hash. */
function checkHtpasswd(bytes: string): void {
  const text = Buffer.from(bytes, 'latin1').toString('utf8')
  const { hashes, maxCost, faults } = parseHtpasswd(text)
  const printed = [...hashes].map(([name, value]) => `${name}:${value}\n`).join('')
  must(isDeepStrictEqual(parseHtpasswd(printed).hashes, hashes), 'its users, written down again, are others')
  must(maxCost === Math.max(0, ...[...hashes.values()].map(costOf)), 'the highest cost is another')
  const lines = text.split('\n')
  for (const { line, sentence } of faults) {
    must(line >= 1 && line <= lines.length, `there is no line ${String(line)}`)
    const [name = '', ...rest] = (lines[line - 1] ?? '').split(':')
    const secret = rest.join(':').trim()
    const isKept = secret.length < 20 || name.includes(secret) || !sentence.includes(secret)
    must(isKept, 'what stands behind the colon is repeated')
  }
}

const least = `publicUrls: [https://registry.example.org]
upstream: { url: http://127.0.0.1:5000 }
authentication: { htpasswd: { enabled: true } }
`
const full = `# the whole of it
publicUrls:
  - https://registry.example.org
  - "https://other.example.org:8443"
listen: &listen { host: 0.0.0.0, port: 8443, proxyProtocol: { from: [10.0.0.0/8, "2001:db8::/32"] } }
admin: { host: 127.0.0.1, port: 9090, socket: /run/wharfgate/admin.sock }
tls:
  certificateFile: certs/tls.crt
  keyFile: certs/tls.key
  certificates: [{ certificateFile: a.crt, keyFile: a.key }]
upstream:
  url: https://registry.internal:5000
  redirects: follow
  redirectHosts: [storage.example.org, s3.example.org:9000]
  credential: { username: gateway, passwordFile: secret }
  timeouts: { connectMs: 5_000, headersMs: 0x10, inactivityMs: 1e3 }
trustedProxies: ['192.0.2.1']
authentication:
  htpasswd: { enabled: true, file: htpasswd }
  credentialCacheTtlSeconds: 60
errors: { reasonPhrase: yes }
headers: { hstsMaxAgeSeconds: .inf }
audit: { destination: stdout }
log: { level: debug }
`
const configCorpus = [
  least,
  full,
  JSON.stringify({ publicUrl: 'https://a.example', upstream: { url: 'http://b' } }),
  '',
]
const configWords = [
  '{',
  '}',
  '[',
  ']',
  ': ',
  '- ',
  '\n  ',
  '&a ',
  '*a',
  '!!binary ',
  '!x ',
  '<<: *listen',
  '---\n',
  '...\n',
  '|\n',
  '>-\n',
  '"\\x00"',
  '__proto__: ',
  'constructor: ',
  '.nan',
  '.inf',
  '-0',
  '0o17',
  '2026-11-21',
  'null',
  '~',
  'true',
  '\t',
  '? ',
  '# ',
  '%YAML 1.1\n',
]
const environments = fc.dictionary(
  fc.oneof(
    fc.constantFrom(
      'WHARFGATE_PUBLIC_URL',
      'WHARFGATE_PUBLIC_URLS',
      'WHARFGATE_LISTEN',
      'WHARFGATE_LISTEN_PORT',
      'WHARFGATE_UPSTREAM_URL',
      'WHARFGATE_UPSTREAM_CREDENTIAL_PASSWORD',
      'WHARFGATE_UPSTREAM_CREDENTIAL_PASSWORD_FILE',
      'WHARFGATE_TLS_CERTIFICATES',
      'WHARFGATE_TRUSTED_PROXIES',
      'WHARFGATE_PORT',
      'WHARFGATE_SERVICE_HOST',
    ),
    fc.string({ maxLength: 12 }).map((text) => `WHARFGATE_${text.toUpperCase()}`),
  ),
  fc.oneof(
    fc.constantFrom(
      '',
      'true',
      '8443',
      '["10.0.0.0/8"]',
      '{"host":"::"}',
      '[[[[',
      '{"__proto__":{"x":1}}',
      'https://a.example',
      'secret',
    ),
    fc.string({ maxLength: 20 }),
  ),
  { maxKeys: 3 },
)

/** A YAML document says the same as the JSON of its value, and what is wrong with it is told with a place that it has. */
function checkDocument(bytes: string): void {
  const text = Buffer.from(bytes, 'latin1').toString('utf8')
  const document = parseDocument({ text, file: 'c.yaml' })
  if (document.kind === 'faults') {
    must(document.faults.length > 0, 'it is refused without a reason')
    checkLines(text, document.faults)
    return
  }
  const json = JSON.stringify(document.value)
  if (!isDeepStrictEqual(JSON.parse(json), document.value)) return
  const again = parseDocument({ text: json, file: 'c.json' })
  must(again.kind === 'ok', 'the JSON of its value is refused')
  must(isDeepStrictEqual(again.value, document.value), 'the JSON of its value is read as something else')
}

function checkLines(text: string, places: readonly { readonly line: number }[]): void {
  const count = text.split(/\r\n|\r|\n/).length
  for (const { line } of places) must(line >= 1 && line <= count, `there is no line ${String(line)}`)
}

type ConfigInput = {
  readonly bytes: string
  readonly environment: Readonly<Record<string, string>>
  readonly secret: string
}

/** A document says the same as the JSON of its value, and whatever is wrong with it is told with a place that it has. */
async function checkConfig({ bytes, environment, secret }: ConfigInput): Promise<void> {
  const content = Buffer.from(bytes, 'latin1')
  const reading = await read(content, environment, secret)
  if (reading.kind === 'faults') {
    must(reading.problems.length > 0, 'it is refused without a reason')
    const isOneLine = reading.problems.every((problem) => !/[\0\n]/.test(printProblem(problem)))
    must(isOneLine || /[\0\n]/.test(Object.keys(environment).join('')), 'a problem is more than a line')
    const origins = reading.problems.map(({ origin }) => origin)
    checkLines(
      content.toString('utf8'),
      origins.filter((origin) => origin.kind === 'file'),
    )
  }
  if (!isUtf8(content)) return
  // The loader takes a byte order mark away, as this decoder does.
  const document = parseDocument({ text: new TextDecoder().decode(content), file: 'c.yaml' })
  if (document.kind === 'faults') return
  const json = JSON.stringify(document.value)
  if (!isDeepStrictEqual(JSON.parse(json), document.value)) return
  const again = await read(Buffer.from(json), environment, secret)
  must(isDeepStrictEqual(meaning(again), meaning(reading)), 'the JSON of the document is read as something else')
}

function read(content: Buffer, environment: ConfigInput['environment'], secret: string): Promise<ConfigReading> {
  const readFile = (path: string): Promise<Uint8Array> => {
    if (path === '/etc/c.yaml') return Promise.resolve(content)
    if (path === '/etc/secret') return Promise.resolve(Buffer.from(secret, 'latin1'))
    return Promise.reject(Object.assign(new Error('no such file'), { code: 'ENOENT' }))
  }
  return readConfig({ file: '/etc/c.yaml', environment, readFile })
}

/** What a reading says, without the places. */
function meaning(reading: ConfigReading): unknown {
  if (reading.kind === 'ok') return reading.config
  return reading.problems.map(({ key, sentence }) => `${key ?? ''}: ${sentence}`).sort()
}

export const fileTargets = [
  createFuzzTarget(
    'htpasswd',
    mutatedBytes(htpasswdCorpus, [
      ':',
      '\n',
      '\r\n',
      '#',
      '$2y$10$',
      '$2x$',
      hash('z'),
      'alice:',
      '\xef\xbb\xbf',
      '\0',
    ]),
    checkHtpasswd,
  ),
  createFuzzTarget('document', mutatedBytes(configCorpus, configWords), checkDocument, 2),
  createFuzzTarget(
    'configuration',
    fc.record({
      bytes: mutatedBytes(configCorpus, configWords),
      environment: environments,
      secret: fc.constantFrom('hunter2\n', '', '\0', '\xff\xfe', 'a\nb'),
    }),
    checkConfig,
    3,
  ),
]
