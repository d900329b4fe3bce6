import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { ConfigError, loadConfig } from '../../../src/config/load.ts'
import type { Environment } from '../../../src/config/environment.ts'

type Files = Readonly<Record<string, string | Uint8Array>>

const least = `publicUrls: [https://registry.example.org]
upstream: { url: http://127.0.0.1:5000 }
authentication: { htpasswd: { enabled: true } }
`
const leastEnvironment = {
  WHARFGATE_PUBLIC_URL: 'https://registry.example.org',
  WHARFGATE_UPSTREAM_URL: 'http://127.0.0.1:5000',
  WHARFGATE_AUTHENTICATION_HTPASSWD_ENABLED: 'true',
}

function reader(files: Files) {
  return (path: string): Promise<Uint8Array> => {
    const content = files[path]
    if (content === undefined) return Promise.reject(Object.assign(new Error('no such file'), { code: 'ENOENT' }))
    return Promise.resolve(typeof content === 'string' ? Buffer.from(content) : content)
  }
}

function load(text: string, environment: Environment = {}, files: Files = {}) {
  return loadConfig({ file: '/etc/w/c.yaml', environment, readFile: reader({ ...files, '/etc/w/c.yaml': text }) })
}

function loadEnvironment(environment: Environment, files: Files = {}) {
  return loadConfig({ environment, readFile: reader(files) })
}

async function problemsOf(loading: Promise<unknown>): Promise<readonly string[]> {
  const outcome = await loading.then(
    () => undefined,
    (error: unknown) => error,
  )
  if (outcome === undefined) return []
  if (!(outcome instanceof ConfigError)) throw new Error('not a ConfigError', { cause: outcome })
  const [first, ...lines] = outcome.message.split('\n')
  expect(first).toBe('the configuration cannot be used')
  expect(lines).toHaveLength(outcome.problems.length)
  return lines
}

describe('a configuration', () => {
  test('of three keys is filled up with the defaults', async () => {
    expect(await load(least)).toEqual({
      publicUrls: ['https://registry.example.org'],
      listen: {
        host: '0.0.0.0',
        port: 8443,
        maxConnections: 10_000,
        proxyProtocol: { from: [] },
        redirectFrom: { enabled: false },
      },
      admin: { host: '127.0.0.1', port: 9090, socket: '/run/wharfgate/admin.sock' },
      tls: {
        enabled: true,
        certificateFile: '/etc/w/certs/tls.crt',
        keyFile: '/etc/w/certs/tls.key',
        certificates: [],
      },
      upstream: {
        url: 'http://127.0.0.1:5000',
        redirects: 'pass',
        redirectHosts: [],
        timeouts: {
          connectMs: 5_000,
          headersMs: 60_000,
          commitHeadersMs: 900_000,
          inactivityMs: 60_000,
          keepAliveMs: 30_000,
        },
      },
      trustedProxies: [],
      authentication: {
        htpasswd: { enabled: true, file: '/etc/w/htpasswd' },
        ldap: { enabled: false },
        order: ['htpasswd', 'ldap'],
        anonymous: { enabled: false },
        credentialCacheTtlSeconds: 60,
        failureFloorMs: 500,
        maxQueuedHashes: 64,
        maxQueueWaitMs: 2_000,
      },
      authorization: { policies: '/etc/w/policies' },
      redis: { enabled: false },
      rateLimit: { enabled: false },
      lockout: {
        enabled: true,
        freeAttempts: 5,
        freeAttemptsPerAddress: 50,
        windowSeconds: 900,
        maxDelaySeconds: 900,
        exemptAddresses: [],
      },
      client: {
        requestHeadersMs: 10_000,
        inactivityMs: 60_000,
        writeInactivityMs: 120_000,
        keepAliveMs: 65_000,
        handshakeMs: 10_000,
      },
      shutdown: { delayMs: 0, timeoutSeconds: 300 },
      errors: { reasonPhrase: true },
      headers: { hstsMaxAgeSeconds: 31_536_000, hstsIncludeSubDomains: false },
      cors: { enabled: false },
      maintenance: {
        readOnly: false,
        message: 'the registry is read-only for maintenance; try again later',
        retryAfterSeconds: 300,
      },
      log: { level: 'info' },
      audit: { enabled: true, destination: 'stdout', onFailure: { writes: 'block', reads: 'allow' } },
    })
  })
  test('comes from the environment alone where there is no file', async () => {
    const fromFile = await loadConfig({ file: 'c.yaml', environment: {}, readFile: reader({ 'c.yaml': least }) })
    expect(await loadEnvironment(leastEnvironment)).toEqual(fromFile)
  })
  test('takes publicUrl for publicUrls with one', async () => {
    const text = least.replace(
      'publicUrls: [https://registry.example.org]',
      'publicUrl: https://Registry.Example.org:443/',
    )
    expect((await load(text)).publicUrls).toEqual(['https://registry.example.org'])
  })
  test('has paths from the folder of the file, and leaves absolute ones and stdout alone', async () => {
    const text = `${least}tls: { certificateFile: a.crt, keyFile: /keys/a.key, certificates: [{ certificateFile: ../b.crt, keyFile: b.key }] }
audit: { destination: audit.log }
`
    const { tls, audit } = await load(text)
    expect(tls).toMatchObject({
      certificateFile: '/etc/w/a.crt',
      keyFile: '/keys/a.key',
      certificates: [{ certificateFile: '/etc/b.crt', keyFile: '/etc/w/b.key' }],
    })
    expect(audit).toMatchObject({ destination: '/etc/w/audit.log' })
  })
  test('keeps the keys of a feature that is off out of sight', async () => {
    expect((await load(`${least}audit: { enabled: false, destination: x }`)).audit).toEqual({ enabled: false })
  })
})

describe('the environment', () => {
  test.each([
    ['a number', { WHARFGATE_LISTEN_PORT: '0' }, { listen: { port: 0 } }],
    ['a switch', { WHARFGATE_AUDIT_ENABLED: 'false' }, { audit: { enabled: false } }],
    ['text', { WHARFGATE_LOG_LEVEL: 'debug' }, { log: { level: 'debug' } }],
    [
      'a deep key',
      { WHARFGATE_UPSTREAM_TIMEOUTS_COMMIT_HEADERS_MS: '1' },
      { upstream: { timeouts: { commitHeadersMs: 1 } } },
    ],
    [
      'a list',
      { WHARFGATE_LISTEN_PROXY_PROTOCOL_FROM: '["10.0.0.0/8", "fd00::1"]' },
      {
        listen: {
          proxyProtocol: {
            from: [
              { family: 'ipv4', address: '10.0.0.0', prefixLength: 8 },
              { family: 'ipv6', address: 'fd00::1', prefixLength: 128 },
            ],
          },
        },
      },
    ],
    [
      'a section, and a key in it that wins',
      { WHARFGATE_ADMIN_PORT: '2', WHARFGATE_ADMIN: '{"port": 1, "host": "::1"}' },
      { admin: { port: 2, host: '::1' } },
    ],
    [
      'publicUrl instead of the publicUrls of the file',
      { WHARFGATE_PUBLIC_URL: 'https://b.example.org' },
      { publicUrls: ['https://b.example.org'] },
    ],
  ] as const)('sets %s', async (_, environment, expected) => {
    expect(await load(least, environment)).toMatchObject(expected)
  })

  test.each([
    ['WHARFGATE_SERVICE_HOST', '10.0.0.1'],
    ['WHARFGATE_SERVICE_PORT', '443'],
    ['WHARFGATE_SERVICE_PORT_HTTPS', '443'],
    ['WHARFGATE_PORT', 'tcp://10.0.0.1:443'],
    ['WHARFGATE_PORT_443_TCP', 'tcp://10.0.0.1:443'],
    ['WHARFGATE_PORT_443_TCP_PROTO', 'tcp'],
    ['WHARFGATE_PORT_443_TCP_PORT', '443'],
    ['WHARFGATE_PORT_443_TCP_ADDR', '10.0.0.1'],
    ['WHARFGATE_ADMIN_SERVICE_PORT_METRICS', '9090'],
    ['WHARFGATE_ADMIN_PORT', 'tcp://10.0.0.1:9090'],
    ['WHARFGATE_ADMIN_PORT_9090_TCP_ADDR', '10.0.0.1'],
    ['WHARFGATE_CALLED_FROM', '/home'],
    ['WHARFGATES', 'x'],
    ['PATH', '/bin'],
  ])('may have %s, which is not ours', async (name, value) => {
    expect(await load(least, { [name]: value })).toEqual(await load(least))
  })

  test.each([
    [
      'an unknown variable',
      { WHARFGATE_UPSTREM_URL: 'x' },
      'environment WHARFGATE_UPSTREM_URL: unknown variable; did you mean WHARFGATE_UPSTREAM_URL?',
    ],
    [
      'nothing like a variable',
      { WHARFGATE_ZEBRA: 'x' },
      'environment WHARFGATE_ZEBRA: unknown variable; no key has this name',
    ],
    [
      'an empty variable',
      { WHARFGATE_LOG_LEVEL: '' },
      'environment WHARFGATE_LOG_LEVEL log.level: is empty; give it a value or unset the variable',
    ],
    [
      'no number',
      { WHARFGATE_LISTEN_PORT: '84x' },
      'environment WHARFGATE_LISTEN_PORT listen.port: must be a whole number; got text',
    ],
    [
      'a number out of range',
      { WHARFGATE_LISTEN_PORT: '70000' },
      'environment WHARFGATE_LISTEN_PORT listen.port: must be at most 65535; got 70000',
    ],
    [
      'no switch',
      { WHARFGATE_AUDIT_ENABLED: 'yes' },
      'environment WHARFGATE_AUDIT_ENABLED audit.enabled: must be true or false; got yes',
    ],
    [
      'no JSON',
      { WHARFGATE_TRUSTED_PROXIES: '10.0.0.0/8' },
      'environment WHARFGATE_TRUSTED_PROXIES trustedProxies: must be a JSON list, such as ["10.0.0.0/8"]',
    ],
    [
      'JSON of another kind',
      { WHARFGATE_TRUSTED_PROXIES: '{}' },
      'environment WHARFGATE_TRUSTED_PROXIES trustedProxies: must be a list; got a map',
    ],
    [
      'a wrong item of a list',
      { WHARFGATE_TRUSTED_PROXIES: '["10.0.0.0/8","x"]' },
      'environment WHARFGATE_TRUSTED_PROXIES trustedProxies[1]: must be an address or a range of addresses, such as 10.0.0.0/8, 192.0.2.7 or fd00::/8',
    ],
    [
      'a wrong key of a section',
      { WHARFGATE_LOG: '{"level":"info","levle":1}' },
      'environment WHARFGATE_LOG log.levle: unknown key; did you mean log.level?',
    ],
    [
      'the prototype',
      { WHARFGATE_LOG: '{"__proto__":{"level":"debug"}}' },
      'environment WHARFGATE_LOG log.__proto__: unknown key; known here are level',
    ],
    [
      'the name of a list item',
      { WHARFGATE_TLS_CERTIFICATES_0_KEY_FILE: 'x' },
      'environment WHARFGATE_TLS_CERTIFICATES_0_KEY_FILE: unknown variable; no key has this name',
    ],
    [
      'a rule over several keys',
      { WHARFGATE_TLS_ENABLED: 'false' },
      'environment WHARFGATE_TLS_ENABLED tls.enabled: false is allowed only behind a proxy that terminates TLS and is named in trustedProxies',
    ],
  ] as const)('is refused with %s', async (_, environment, expected) => {
    expect(await problemsOf(load(least, environment))).toEqual([expected])
  })

  test('names the variable of a key that is set nowhere, where there is no file', async () => {
    expect(await problemsOf(loadEnvironment({}))).toEqual([
      'environment WHARFGATE_AUTHENTICATION authentication: no way to log in is enabled; set authentication.htpasswd.enabled or authentication.ldap.enabled to true',
      'environment WHARFGATE_PUBLIC_URLS publicUrls: is required: the address that clients type, such as https://registry.example.org',
      'environment WHARFGATE_UPSTREAM_URL upstream.url: is required',
    ])
  })
})

describe('problems', () => {
  test('are all told at once, each at its place, the file first', async () => {
    const text = `publicUrls:
  - https://registry.example.org/path
  - http://registry.example.org
upstreem: {}
upstream:
  redirects: follow
  timeouts: { conectMs: 1, headersMs: 0 }
tls:
  enabled: false
  certificates:
    - certificateFile: a
      keyfile: b
authentication: { htpasswd: { file: x } }
admin: { port: 8443 }
`
    const environment = { WHARFGATE_LISTEN_PORT: '-1', WHARFGATE_NOTHING: 'x' }
    expect(await problemsOf(load(text, environment))).toEqual([
      '/etc/w/c.yaml:2:5 publicUrls[0]: must end after the host and the port, without a path, a query or a fragment',
      '/etc/w/c.yaml:3:5 publicUrls[1]: must begin with https://; plain http:// is only for a loopback host such as localhost',
      '/etc/w/c.yaml:4:1 upstreem: unknown key; did you mean upstream?',
      '/etc/w/c.yaml:5:1 upstream.url: is required',
      '/etc/w/c.yaml:7:15 upstream.timeouts.conectMs: unknown key; did you mean upstream.timeouts.connectMs?',
      '/etc/w/c.yaml:7:28 upstream.timeouts.headersMs: must be at least 1; got 0',
      '/etc/w/c.yaml:11:7 tls.certificates[0].keyFile: is required',
      '/etc/w/c.yaml:12:7 tls.certificates[0].keyfile: unknown key; did you mean tls.certificates[].keyFile?',
      '/etc/w/c.yaml:13:19 authentication.htpasswd.enabled: is required: true or false',
      'environment WHARFGATE_LISTEN_PORT listen.port: must be at least 0; got -1',
      'environment WHARFGATE_NOTHING: unknown variable; no key has this name',
    ])
  })

  test.each([
    [
      'both public addresses',
      `${least}publicUrl: https://a.example.org`,
      '/etc/w/c.yaml:4:1 publicUrl: publicUrl is short for a list of one in publicUrls; keep one of the two',
    ],
    ['no public address', 'publicUrls: []', '/etc/w/c.yaml:1:1 publicUrls: must have at least 1 item; got a list of 0'],
    [
      'no TLS and nobody to trust',
      'tls:\n  enabled: false',
      '/etc/w/c.yaml:2:3 tls.enabled: false is allowed only behind a proxy that terminates TLS and is named in trustedProxies',
    ],
    [
      'redirects to follow anywhere',
      'upstream:\n  url: http://a\n  redirects: follow',
      '/etc/w/c.yaml:3:3 upstream.redirects: follow needs the hosts that may be followed to in upstream.redirectHosts',
    ],
    [
      'no way to log in',
      'authentication:\n  htpasswd: { enabled: false }',
      '/etc/w/c.yaml:1:1 authentication: no way to log in is enabled; set authentication.htpasswd.enabled or authentication.ldap.enabled to true',
    ],
    [
      'one port twice',
      'listen: { port: 9090 }\nadmin:\n  port: 9090',
      '/etc/w/c.yaml:3:3 admin.port: is also listen.port on the same address; give each its own',
    ],
    [
      'the redirect on a port that is taken',
      'listen:\n  redirectFrom: { enabled: true, port: 8443 }',
      '/etc/w/c.yaml:2:34 listen.redirectFrom.port: is also listen.port or admin.port on the same address; give each its own',
    ],
  ])('between keys are told although others are there: %s', async (_, text, expected) => {
    const problems = await problemsOf(load(`${text}\nzebra: 1\nlog: { level: loud }\n`))
    expect(problems).toContain(expected)
    expect(problems).toContainEqual(expect.stringContaining('zebra: unknown key'))
    expect(problems).toContainEqual(expect.stringContaining('log.level: must be'))
  })

  test('of syntax are told with those of the environment', async () => {
    expect(await problemsOf(load('a: "', { WHARFGATE_NOTHING: 'x' }))).toEqual([
      '/etc/w/c.yaml:1:5 document: is not valid YAML here; a colon, comma, quote or bracket is missing',
      'environment WHARFGATE_NOTHING: unknown variable; no key has this name',
    ])
  })

  test.each([
    ['that is missing', undefined, 'c.yaml:1:1 document: does not exist (ENOENT)'],
    ['that is not UTF-8', Buffer.from([0x61, 0x3a, 0x20, 0xff]), 'c.yaml:1:1 document: is not UTF-8 text'],
    ['over 1 MiB', Buffer.alloc(1_048_577, 0x20), 'c.yaml:1:1 document: is larger than 1048576 bytes'],
  ])('of a file %s', async (_, content, expected) => {
    const files: Files = content === undefined ? {} : { 'c.yaml': content }
    expect(await problemsOf(loadConfig({ file: 'c.yaml', environment: {}, readFile: reader(files) }))).toEqual([
      expected,
    ])
  })
})

describe('a secret', () => {
  const withCredential = (line: string): string =>
    least.replace(
      'upstream: { url: http://127.0.0.1:5000 }',
      `upstream:\n  url: http://127.0.0.1:5000\n  credential:\n    username: gw\n    ${line}`,
    )
  const password = async (config: ReturnType<typeof load>) => (await config).upstream.credential?.password

  test.each([
    ['in the file', 'password: hunter2', {}],
    ['in a file of its own', 'passwordFile: secret', {}],
    ['in the environment', 'password: other', { WHARFGATE_UPSTREAM_CREDENTIAL_PASSWORD: 'hunter2' }],
    ['in a file that the environment names', '', { WHARFGATE_UPSTREAM_CREDENTIAL_PASSWORD_FILE: '/etc/w/secret' }],
    ['in the environment, over a file', 'passwordFile: gone', { WHARFGATE_UPSTREAM_CREDENTIAL_PASSWORD: 'hunter2' }],
    [
      'in a file that the environment names, over one',
      'password: other',
      { WHARFGATE_UPSTREAM_CREDENTIAL_PASSWORD_FILE: 'secret' },
    ],
  ] as const)('may stand %s', async (_, line, environment) => {
    expect(await password(load(withCredential(line), environment, { '/etc/w/secret': 'hunter2\n' }))).toBe('hunter2')
  })

  test.each([
    ['hunter2\r\n', 'hunter2'],
    ['hunter2', 'hunter2'],
    ['hunter2\n\n', undefined],
    [' hunter2 \n', ' hunter2 '],
    ['\ufeffhunter2\n', 'hunter2'],
  ])('loses one newline at the end of its file and nothing else: %j', async (content, expected) => {
    const loading = load(withCredential('passwordFile: secret'), {}, { '/etc/w/secret': content })
    if (expected === undefined) expect((await problemsOf(loading))[0]).toContain('must not contain control characters')
    else expect(await password(loading)).toBe(expected)
  })

  const place = '/etc/w/c.yaml:6:5 upstream.credential.passwordFile:'
  test.each([
    ['a file that is missing', 'passwordFile: gone', `${place} the file /etc/w/gone does not exist (ENOENT)`],
    ['a file that is empty', 'passwordFile: empty', `${place} the file /etc/w/empty is empty`],
    ['a file of a newline', 'passwordFile: newline', `${place} the file /etc/w/newline is empty`],
    ['a file that is not text', 'passwordFile: binary', `${place} the file /etc/w/binary is not UTF-8 text`],
    ['a file that is too large', 'passwordFile: large', `${place} the file /etc/w/large is larger than 65536 bytes`],
    ['no path', 'passwordFile: 5', `${place} must be the path of a file`],
    ['a file with control characters', 'passwordFile: control', `${place} must not contain control characters`],
    [
      'both',
      'passwordFile: good\n    password: hunter2',
      `${place} stands beside upstream.credential.password; keep one of the two`,
    ],
    [
      'a number',
      'password: 123456789',
      '/etc/w/c.yaml:6:5 upstream.credential.password: must be text; got a number: put it in quotes',
    ],
    ['a list', 'password: [hunter2]', '/etc/w/c.yaml:6:5 upstream.credential.password: must be text; got a list of 1'],
    ['neither', '', '/etc/w/c.yaml:4:3 upstream.credential.password: is required'],
  ])('is refused: %s', async (_, line, expected) => {
    const files = {
      '/etc/w/empty': '',
      '/etc/w/newline': '\n',
      '/etc/w/binary': Buffer.from([0xff]),
      '/etc/w/large': 'x'.repeat(65_537),
      '/etc/w/good': 'hunter2',
      '/etc/w/control': 'hunter2\u0000',
    }
    const problems = await problemsOf(load(withCredential(line), {}, files))
    expect(problems).toEqual([expected])
    expect(problems.join('\n')).not.toMatch(/hunter2|123456789/)
  })

  test('given twice by the environment is refused', async () => {
    const environment = {
      WHARFGATE_UPSTREAM_CREDENTIAL_PASSWORD: 'hunter2',
      WHARFGATE_UPSTREAM_CREDENTIAL_PASSWORD_FILE: 'x',
    }
    expect(await problemsOf(load(withCredential(''), environment))).toEqual([
      'environment WHARFGATE_UPSTREAM_CREDENTIAL_PASSWORD_FILE upstream.credential.passwordFile: stands beside upstream.credential.password; keep one of the two',
    ])
  })

  test('in the address of the registry is refused and not repeated', async () => {
    const problems = await problemsOf(load(least.replace('http://127', 'http://gw:hunter2@127')))
    expect(problems).toEqual(['/etc/w/c.yaml:2:13 upstream.url: must not carry a user name or a password'])
  })
})

test('whatever the file and the environment hold, a Config or a ConfigError comes out, without the secret', async () => {
  const words = [
    'publicUrl',
    'upstream',
    'url',
    'tls',
    'enabled',
    'password',
    'passwordFile',
    'credential',
    ':',
    ' ',
    '\n',
    '  ',
    '-',
    '{',
    '}',
    '[',
    ']',
    ',',
    '&a',
    '*a',
    '"',
    "'",
    '|',
    '!x',
    'true',
    '1',
    'null',
    '~',
  ]
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(fc.constantFrom(...words), { maxLength: 50 }).map((parts) => parts.join('')),
    fc.json(),
    fc.constant(least),
  )
  const name = fc.oneof(
    fc.constantFrom(
      'WHARFGATE_UPSTREAM',
      'WHARFGATE_TLS',
      'WHARFGATE_TLS_CERTIFICATES',
      'WHARFGATE_LISTEN_PORT',
      'WHARFGATE_UPSTREAM_CREDENTIAL_PASSWORD_FILE',
      'WHARFGATE_PUBLIC_URLS',
    ),
    fc.string().map((rest) => `WHARFGATE_${rest}`),
  )
  const environment = fc.dictionary(name, fc.oneof(fc.string({ unit: 'binary' }), fc.json()), { noNullPrototype: true })
  const bytes = fc.oneof(
    text.map((text) => Buffer.from(text)),
    fc.uint8Array(),
  )
  await fc.assert(
    fc.asyncProperty(bytes, environment, async (content, variables) => {
      const readFile = (path: string): Promise<Uint8Array> =>
        path === 'c.yaml' ? Promise.resolve(content) : Promise.reject(new Error('anything'))
      const secret = 'hunter2-0f9a'
      const environment = { ...variables, WHARFGATE_UPSTREAM_CREDENTIAL_PASSWORD: secret }
      expect((await problemsOf(loadConfig({ file: 'c.yaml', environment, readFile }))).join()).not.toContain(secret)
    }),
    { numRuns: 500 },
  )
})
