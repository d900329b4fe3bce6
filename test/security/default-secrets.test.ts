import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, relative, sep } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { initCertificates } from '../../src/cli/certificate-files.ts'
import { requestOver } from '../support/http-client.ts'
import { basic } from '../support/personas.ts'
import { run, start } from '../support/processes.ts'
import { startRecordingUpstream } from '../support/recording-upstream.ts'
import { until } from '../support/until.ts'

const root = join(import.meta.dirname, '..', '..')
const wharfgate = join(root, 'bin', 'wharfgate.js')

let directory: string
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'wharfgate-defaults-'))
  await initCertificates({ directory: join(directory, 'certs'), hosts: ['localhost'] })
})
afterAll(() => {
  rmSync(directory, { recursive: true, force: true })
})

describe('A-124 nobody can log in with what everybody knows', () => {
  const settings = {
    publicUrl: 'https://localhost:8443',
    listen: { host: '127.0.0.1', port: 0 },
    admin: { port: 0, socket: 'admin.sock' },
    upstream: { url: 'http://127.0.0.1:1' },
    audit: { destination: 'audit.log' },
    // One that is tried again and again must not keep a process that refused to start.
    redis: { enabled: true, url: 'redis://127.0.0.1:1' },
  }
  const htpasswd = { htpasswd: { enabled: true, file: 'htpasswd' } }
  const damaged = `admin:$2y$10$${'a'.repeat(52)}\n`

  test.each([
    ['no way to log in', { authentication: undefined, users: undefined, sentence: 'no way to log in is enabled' }],
    ['no file of users', { authentication: htpasswd, users: undefined, sentence: 'the file of users cannot be read' }],
    ['an empty file of users', { authentication: htpasswd, users: '', sentence: 'nobody could log in' }],
    [
      'users without a hash',
      { authentication: htpasswd, users: 'admin:admin\nroot:\n', sentence: 'nobody could log in' },
    ],
    ['a damaged hash', { authentication: htpasswd, users: damaged, sentence: 'nobody could log in' }],
  ])('serve refuses to start with %s', async (_what, { authentication, users, sentence }) => {
    writeFileSync(join(directory, 'config.json'), JSON.stringify({ ...settings, authentication }))
    rmSync(join(directory, 'htpasswd'), { force: true })
    if (users !== undefined) writeFileSync(join(directory, 'htpasswd'), users)
    const { code, stdout, stderr } = await run(process.execPath, [wharfgate, 'serve', '--config', 'config.json'], {
      cwd: directory,
      env: { PATH: process.env['PATH'] },
    })
    expect({ code, stdout, stderr }).toEqual({ code: 1, stdout: '', stderr: expect.stringContaining(sentence) })
    expect(stderr).not.toContain('https://127.0.0.1')
  })

  test('two quickstarts have two passwords, long and random, that nobody else may read', async () => {
    const upstream = await startRecordingUpstream()
    try {
      const [one, other] = [await quickstart(upstream.url, 'one'), await quickstart(upstream.url, 'other')]
      for (const { password, modes, printed } of [one, other]) {
        expect(password).toMatch(/^[A-Za-z0-9_-]{24}$/)
        expect(modes).toEqual([0o600, 0o600])
        expect(printed).toContain(password)
      }
      expect(one.password).not.toBe(other.password)
      expect(one.key).not.toBe(other.key)
      expect([one.own, one.guessed]).toEqual([200, [401, 401, 401, 401]])
    } finally {
      await upstream.close()
    }
  })

  async function quickstart(upstreamUrl: string, name: string) {
    const state = join(directory, name)
    const port = await freePort()
    const script = join(root, 'tools', 'quickstart.ts')
    const program = start(process.execPath, [script, '--state', state, '--port', String(port)], {
      cwd: directory,
      env: { PATH: process.env['PATH'], WHARFGATE_UPSTREAM_URL: upstreamUrl, WHARFGATE_CALLED_FROM: directory },
    })
    try {
      const isSettled = () => program.exitCode() !== undefined || program.stdout().includes('Ctrl-C ends everything')
      await until(isSettled, { what: 'the quickstart has printed its lines', deadlineMs: 90_000 })
      const target = { port, ca: readFileSync(join(state, 'certs', 'ca.crt'), 'utf8') }
      const password = readFileSync(join(state, 'password'), 'utf8').trim()
      const login = async (username: string, guess: string): Promise<number> => {
        const headers = { authorization: basic(username, guess) }
        return (await requestOver(target, { path: '/v2/', headers })).status
      }
      const guesses = ['wharfgate', 'password', 'Harbor12345', '']
      return {
        password,
        printed: program.stdout(),
        modes: ['password', 'htpasswd'].map((file) => statSync(join(state, file)).mode & 0o777),
        key: readFileSync(join(state, 'certs', 'tls.key'), 'utf8'),
        own: await login('wharfgate', password),
        guessed: await Promise.all(guesses.map((guess) => login('wharfgate', guess))),
      }
    } finally {
      await program.stop()
    }
  }
})

describe('A-124 the repository holds no secret that somebody could leave in force', () => {
  const skipped = new Set(['node_modules', '.git', '.wharfgate', 'dist', 'coverage'])
  const files = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => relative(root, join(parentPath, name)))
    .filter((file) => !file.split(sep).some((part) => skipped.has(part)))
  const shipped = files.filter((file) => !file.startsWith(`test${sep}`))

  test('no key and no file of users', () => {
    expect(files.length).toBeGreaterThan(100)
    expect(files.filter((file) => /(?:\.key|\.pem|\.p12|\.jks|(?:^|[/\\])\.?htpasswd)$/.test(file))).toEqual([])
    const withKey = files.filter((file) =>
      /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s+[A-Za-z0-9+/=]{20}/.test(read(file)),
    )
    expect(withKey).toEqual([])
  })

  test('no hash of a password outside the tests', () => {
    expect(shipped.filter((file) => /\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}/.test(read(file)))).toEqual([])
  })

  test('no secret among the defaults of the configuration', () => {
    const secrets = shipped.includes(join('docs', 'reference', 'wharfgate.schema.json'))
      ? secretDefaults(JSON.parse(read(join('docs', 'reference', 'wharfgate.schema.json'))))
      : ['the schema is missing']
    expect(secrets).toEqual([])
  })

  function read(file: string): string {
    return readFileSync(join(root, file), 'utf8')
  }
})

/** Keys named like a secret that have a default or an example. */
function secretDefaults(node: unknown, name = ''): readonly string[] {
  if (typeof node !== 'object' || node === null) return []
  const isSecret = /(?:password|secret|token|key)$/i.test(name)
  const own = isSecret && ('default' in node || 'examples' in node) ? [name] : []
  return [...own, ...Object.entries(node).flatMap(([key, value]) => secretDefaults(value, key))]
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => {
        resolve(port)
      })
    })
  })
}
