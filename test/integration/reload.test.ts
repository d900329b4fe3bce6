import { mkdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import tls from 'node:tls'
import { hashSync } from '@node-rs/bcrypt'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { initCertificates } from '../../src/cli/certificate-files.ts'
import { basic, htpasswdFile } from '../support/personas.ts'
import { run } from '../support/processes.ts'
import { startRecordingUpstream } from '../support/recording-upstream.ts'
import type { RecordingUpstream } from '../support/recording-upstream.ts'
import { startGateway } from '../support/start-gateway.ts'
import type { TestGateway } from '../support/start-gateway.ts'
import { until } from '../support/until.ts'

let upstream: RecordingUpstream
let gateway: TestGateway

beforeEach(async () => {
  upstream = await startRecordingUpstream()
  gateway = await startGateway({ upstreamUrl: upstream.url })
})
afterEach(async () => {
  await gateway.stop()
  await upstream.close()
})

const line = (name: string, password: string): string => `${name}:${hashSync(password, 4)}\n`
const file = (name: string): string => join(gateway.directory, name)

async function statusOf(
  name: string,
  password: string,
  method = 'GET',
  path = '/v2/team/app/tags/list',
): Promise<number> {
  return (await gateway.ask({ method, path, headers: { authorization: basic(name, password) } })).status
}

/** Value of a metric; NaN where it is not there. */
async function metric(series: string): Promise<number> {
  const text = await (await fetch(`${gateway.adminUrl}/metrics`)).text()
  const found = text.split('\n').find((candidate) => candidate.startsWith(`${series} `))
  return Number(found?.slice(series.length + 1) ?? Number.NaN)
}

const refusals = (part: string): Promise<number> =>
  metric(`wharfgate_config_reloads_total{part="${part}",result="error"}`)

/** The serial number of the certificate that a new connection is shown. */
function servedSerial(): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect(
      { host: '127.0.0.1', port: gateway.port, ca: gateway.ca, servername: 'localhost' },
      () => {
        resolve(socket.getPeerCertificate().serialNumber)
        socket.end()
      },
    )
    socket.once('error', reject)
  })
}

const renewed = (): Promise<unknown> =>
  initCertificates({
    directory: file('certs'),
    hosts: ['localhost', '127.0.0.1', 'registry.example.test'],
    force: true,
  })

describe('the file of users', () => {
  test.each<[string, (text: string) => void]>([
    ['is written in place', (text) => writeFileSync(file('htpasswd'), text)],
    [
      'is replaced by a rename, as editors do',
      (text) => {
        writeFileSync(file('htpasswd.new'), text)
        renameSync(file('htpasswd.new'), file('htpasswd'))
      },
    ],
  ])('%s: new users get in, removed ones do not', async (_name, replace) => {
    expect(await statusOf('alice', 'correct horse: battery staple')).toBe(200)
    replace(line('dora', 'a new password'))
    await until(async () => (await statusOf('dora', 'a new password')) === 200, { what: 'the new user gets in' })
    expect(await statusOf('alice', 'correct horse: battery staple')).toBe(401)
  })

  test('a changed password takes the place of the remembered one at once', async () => {
    expect(await statusOf('alice', 'correct horse: battery staple')).toBe(200)
    writeFileSync(file('htpasswd'), line('alice', 'another'))
    await until(async () => (await statusOf('alice', 'another')) === 200, { what: 'the new password works' })
    expect(await statusOf('alice', 'correct horse: battery staple')).toBe(401)
  })

  test.each<[string, () => void]>([
    ['empty', () => writeFileSync(file('htpasswd'), '')],
    ['without one usable line', () => writeFileSync(file('htpasswd'), 'alice:plain\n')],
    ['gone', () => rmSync(file('htpasswd'))],
    [
      'a folder',
      () => {
        rmSync(file('htpasswd'))
        mkdirSync(file('htpasswd'))
      },
    ],
  ])('%s is refused, and the last good one serves on', async (_name, spoil) => {
    spoil()
    await until(async () => (await refusals('users')) >= 1, { what: 'the refusal is counted' })
    expect(await statusOf('alice', 'correct horse: battery staple')).toBe(200)
    expect(await metric('wharfgate_config_last_reload_successful{part="users"}')).toBe(0)
    expect((await fetch(`${gateway.adminUrl}/readyz`)).status).toBe(200)
    expect(gateway.log()).toContain('a reload was refused')
    rmSync(file('htpasswd'), { recursive: true, force: true })
    writeFileSync(file('htpasswd'), htpasswdFile() + line('dora', 'late'))
    await until(async () => (await statusOf('dora', 'late')) === 200, { what: 'a good file is taken again' })
    expect(await metric('wharfgate_config_last_reload_successful{part="users"}')).toBe(1)
  })
})

describe('certificates', () => {
  test('a renewed one is served to new connections, and old connections stay', async () => {
    const before = await servedSerial()
    const kept = tls.connect({ host: '127.0.0.1', port: gateway.port, ca: gateway.ca, servername: 'localhost' })
    await new Promise((resolve) => kept.once('secureConnect', resolve))
    await renewed()
    await until(async () => (await servedSerial()) !== before, { what: 'the new certificate is served' })
    expect(kept.destroyed).toBe(false)
    kept.destroy()
  })

  test('one that ends within four weeks is warned of when it is loaded', async () => {
    expect(gateway.log()).not.toContain('a certificate ends soon')
    const hosts = ['localhost', '127.0.0.1', 'registry.example.test']
    await initCertificates({ directory: file('certs'), hosts, days: 10, force: true })
    await until(() => gateway.log().includes('a certificate ends soon; replace its file'), { what: 'the warning' })
    expect(gateway.log()).toContain('"days":9')
  })

  test.each<[string, () => void]>([
    ['a key of another certificate', () => writeFileSync(file('certs/tls.key'), readFileSync(file('certs/ca.key')))],
    [
      'half a certificate',
      () => writeFileSync(file('certs/tls.crt'), readFileSync(file('certs/tls.crt')).subarray(0, 300)),
    ],
    ['no file', () => rmSync(file('certs/tls.crt'))],
  ])('%s is refused, and the last good one serves on', async (_name, spoil) => {
    const before = await servedSerial()
    spoil()
    await until(async () => (await refusals('certificates')) >= 1, { what: 'the refusal is counted' })
    expect(await servedSerial()).toBe(before)
  })

  test('a swap of the directory behind a link, as Kubernetes does it, is seen', async () => {
    const mounted = file('mounted')
    const version = (name: string): string => join(mounted, name)
    mkdirSync(version('..1'), { recursive: true })
    for (const name of ['tls.crt', 'tls.key'])
      writeFileSync(join(version('..1'), name), readFileSync(file(`certs/${name}`)))
    symlinkSync('..1', version('..data'))
    for (const name of ['tls.crt', 'tls.key']) symlinkSync(`..data/${name}`, version(name))
    const config = JSON.parse(readFileSync(file('wharfgate.json'), 'utf8')) as Record<string, unknown>
    config['tls'] = { certificateFile: 'mounted/tls.crt', keyFile: 'mounted/tls.key' }
    writeFileSync(file('wharfgate.json'), JSON.stringify(config))
    await until(() => gateway.log().includes('"part":"certificates"'), { what: 'the mounted files are read' })
    const before = await servedSerial()
    await renewed()
    mkdirSync(version('..2'))
    for (const name of ['tls.crt', 'tls.key'])
      writeFileSync(join(version('..2'), name), readFileSync(file(`certs/${name}`)))
    symlinkSync('..2', version('..data_tmp'))
    renameSync(version('..data_tmp'), version('..data'))
    await until(async () => (await servedSerial()) !== before, { what: 'the new certificate is served' })
  })
})

describe('the configuration', () => {
  function change(section: string, value: unknown): void {
    const config = JSON.parse(readFileSync(file('wharfgate.json'), 'utf8')) as Record<string, unknown>
    config[section] = value
    writeFileSync(file('wharfgate.json'), JSON.stringify(config))
  }

  test('read-only maintenance takes effect and ends while the gateway runs', async () => {
    change('maintenance', { readOnly: true, message: 'garbage is being collected until noon', retryAfterSeconds: 60 })
    const push = () => gateway.as('alice', { method: 'POST', path: '/v2/a/blobs/uploads/' })
    await until(async () => (await push()).status === 503, { what: 'pushes are refused' })
    expect(await metric('wharfgate_maintenance_read_only')).toBe(1)
    upstream.reset()
    const refused = await push()
    expect(refused.headers['retry-after']).toBe('60')
    expect(refused.body).toContain('garbage is being collected until noon')
    expect(refused.reason).toContain('read-only')
    for (const [method, path] of [
      ['DELETE', '/v2/a/manifests/v1'],
      ['PUT', '/v2/a/manifests/v1'],
      ['PATCH', '/v2/a/blobs/uploads/u1'],
    ] as const) {
      expect((await gateway.as('alice', { method, path })).status).toBe(503)
    }
    expect(upstream.requestLines().filter((request) => !request.startsWith('GET /v2/ '))).toEqual([])
    expect((await gateway.as('alice', { path: '/v2/a/tags/list' })).status).toBe(200)
    expect((await gateway.ask({ method: 'POST', path: '/v2/a/blobs/uploads/' })).status).toBe(401)
    change('maintenance', { readOnly: false })
    await until(async () => (await push()).status === 200, { what: 'pushes are taken again' })
    expect(await metric('wharfgate_maintenance_read_only')).toBe(0)
  })

  test('what cannot change while it runs is named', async () => {
    change('listen', { host: '127.0.0.1', port: 0, maxConnections: 77 })
    await until(() => gateway.log().includes('take effect at the next start only'), { what: 'the log says so' })
    expect(gateway.log()).toContain('listen.maxConnections')
  })

  test.each([
    ['broken', '{'],
    ['with an unknown key', '{"publicUrls":["https://a.example"],"upsteam":{}}'],
    ['empty', ''],
  ])('%s is refused with its place, and the last good one serves on', async (_name, text) => {
    writeFileSync(file('wharfgate.json'), text)
    await until(async () => (await refusals('configuration')) >= 1, { what: 'the refusal is counted' })
    expect(gateway.log()).toMatch(/wharfgate\.json:\d+:\d+ /)
    expect(await statusOf('alice', 'correct horse: battery staple')).toBe(200)
  })
})

describe('the admin socket', () => {
  const command = join(import.meta.dirname, '../../bin/wharfgate.js')
  const reload = (...options: readonly string[]) => run(process.execPath, [command, 'reload', ...options])

  test('is for the owner of the process alone', () => {
    expect(statSync(file('admin.sock')).mode & 0o777).toBe(0o600)
  })

  test('wharfgate reload reads everything again and tells what became of it', async () => {
    const taken = await reload('--config', file('wharfgate.json'))
    expect(taken).toMatchObject({
      code: 0,
      stdout: 'configuration: reloaded\ncertificates: reloaded\nusers: reloaded\npolicies: reloaded\n',
      stderr: '',
    })
    writeFileSync(file('htpasswd'), 'alice:plain\n')
    const refused = await reload('--socket', file('admin.sock'))
    expect(refused.code).toBe(1)
    expect(refused.stdout).toMatch(
      /users: refused, the last good state serves on\n {2}.*no line of the file can be used/,
    )
  })

  test('wharfgate reload says what is wrong when nobody listens', async () => {
    const asked = await reload('--socket', file('nobody.sock'))
    expect(asked.code).toBe(1)
    expect(asked.stderr).toContain('is it running')
  })

  test('one that a killed gateway left behind is replaced, one that answers is not', async () => {
    const other = await startGateway({
      upstreamUrl: upstream.url,
      settings: { admin: { socket: file('admin.sock') } },
    })
    expect(other.log()).toContain('the admin socket cannot be made')
    await other.stop()
    expect((await reload('--socket', file('admin.sock'))).code).toBe(0)
    const killed = await run(process.execPath, [
      '-e',
      `require('net').createServer().listen('${file('left.sock')}', () => process.kill(process.pid, 'SIGKILL'))`,
    ])
    expect(killed.code).toBe(137)
    const heir = await startGateway({ upstreamUrl: upstream.url, settings: { admin: { socket: file('left.sock') } } })
    expect((await reload('--socket', file('left.sock'))).code).toBe(0)
    await heir.stop()
  })
})

test('F-56 no wrong decision in many requests during many reloads', async () => {
  const asking = new AbortController()
  const reloads = (async () => {
    for (let count = 0; !asking.signal.aborted; count += 1) {
      // Half-written, empty and good files in turn; alice is in every good one.
      const text = [htpasswdFile(), htpasswdFile().slice(0, 20), '', htpasswdFile() + line('dora', `${count}`)][
        count % 4
      ]
      writeFileSync(file('htpasswd'), text ?? '')
      await gateway.server.reload()
    }
  })()
  const asked = Array.from({ length: 300 }, async (_, index) => {
    const right = index % 2 === 0
    return (await statusOf('alice', right ? 'correct horse: battery staple' : 'wrong')) === (right ? 200 : 401)
  })
  expect(await Promise.all(asked)).not.toContain(false)
  asking.abort()
  await reloads
  expect(gateway.faults()).toEqual([])
})
