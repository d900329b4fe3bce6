/** The audit of a running gateway: what its lines say, and what happens when they cannot be written (F-64, F-65). */
import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { basic, passwords } from '../support/personas.ts'
import { startRecordingUpstream } from '../support/recording-upstream.ts'
import type { RecordingUpstream } from '../support/recording-upstream.ts'
import { describeOnSmallDisk } from '../support/small-disk.ts'
import { startGateway } from '../support/start-gateway.ts'
import type { TestGateway } from '../support/start-gateway.ts'
import { until } from '../support/until.ts'

let upstream: RecordingUpstream
let gateway: TestGateway | undefined
let folder: string
beforeEach(async () => {
  upstream = await startRecordingUpstream()
  folder = mkdtempSync(join(tmpdir(), 'wharfgate-audit-'))
})
afterEach(async () => {
  await gateway?.stop()
  gateway = undefined
  await upstream.close()
  rmSync(folder, { recursive: true, force: true })
})

async function started(audit: Readonly<Record<string, unknown>> = {}): Promise<TestGateway> {
  gateway = await startGateway({ upstreamUrl: upstream.url, settings: { audit } })
  return gateway
}

const pull = { path: '/v2/team/app/manifests/latest' }
const push = { method: 'PUT', path: '/v2/team/app/manifests/latest', body: '{}' }
const remove = { method: 'DELETE', path: '/v2/team/app/manifests/latest' }

type Line = Readonly<Record<string, unknown>>

/** The lines of a file; fails at a torn one. */
function linesOf(file: string): readonly Line[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line)
}

async function metric({ adminUrl }: TestGateway, series: string): Promise<number> {
  const text = await (await fetch(`${adminUrl}/metrics`)).text()
  const found = text.split('\n').find((line) => line.startsWith(`${series} `))
  return Number(found?.slice(series.length + 1) ?? Number.NaN)
}

/** Asks for something that changes nothing until its audit line could not be written. */
async function untilFailing(running: TestGateway): Promise<void> {
  await running.as('alice', pull)
  await until(async () => (await metric(running, 'wharfgate_audit_up')) === 0, { what: 'the audit to fail' })
}

describe('a line of the audit', () => {
  test('tells of a push: who, on what ground, what, how much', async () => {
    const running = await started()
    const { headers } = await running.as('alice', { ...push, headers: { 'user-agent': 'docker/28' } })
    expect(await running.auditLineOf(String(headers['x-request-id']))).toMatchObject({
      user: 'alice',
      groups: [],
      authentication: 'htpasswd',
      clientAddress: '127.0.0.1',
      userAgent: 'docker/28',
      action: 'push',
      required: ['repository:team/app:push'],
      repository: 'team/app',
      reference: 'latest',
      policy: 'policies',
      policyGeneration: 1,
      decision: 'granted',
      status: 200,
      bytesUp: 2,
      bytesDown: 2,
      outcome: 'complete',
    })
  })

  test('names the user whose login failed, and never a name that nobody has: it may be a password', async () => {
    const running = await started()
    const attempt = async (name: string, password: string): Promise<Line> => {
      const answer = await running.ask({ ...pull, headers: { authorization: basic(name, password) } })
      expect(answer.status).toBe(401)
      return running.auditLineOf(String(answer.headers['x-request-id']))
    }
    expect(await attempt('bob', 'wrong')).toMatchObject({ user: null, attemptedUser: 'bob' })
    expect(await attempt(passwords.bob, 'bob')).toMatchObject({ user: null, attemptedUser: null })
    expect(JSON.stringify(running.auditLines())).not.toContain(passwords.bob)
    expect(running.log()).not.toContain(passwords.bob)
  })
})

describe('while the audit cannot be written', () => {
  const directory = (): string => join(folder, 'audit')
  const destination = (): string => join(directory(), 'audit.log')

  test('pushes and deletes are refused before anything is forwarded, and pulls go on', async () => {
    mkdirSync(directory())
    const running = await started({ destination: destination() })
    rmSync(directory(), { recursive: true })
    await untilFailing(running)
    upstream.reset()
    const refused = [await running.as('alice', push), await running.as('alice', remove)]
    expect(refused.map(({ status }) => status)).toEqual([503, 503])
    expect(refused.map(({ headers }) => headers['retry-after'])).toEqual(['5', '5'])
    expect(refused[0]?.body).toContain('cannot write its audit')
    expect(upstream.requestLines()).toEqual([])
    expect((await running.as('alice', pull)).status).toBe(200)
    expect(await metric(running, 'wharfgate_errors_total{id="auditUnavailable"}')).toBe(2)
    expect(await metric(running, 'wharfgate_audit_fault_requests_total{access="write",verdict="refused"}')).toBe(2)
    expect(
      await metric(running, 'wharfgate_audit_fault_requests_total{access="read",verdict="admitted"}'),
    ).toBeGreaterThanOrEqual(1)
  })

  test('who may not push at all is told so, as ever', async () => {
    mkdirSync(directory())
    const running = await started({ destination: destination() })
    rmSync(directory(), { recursive: true })
    await untilFailing(running)
    expect((await running.ask(push)).status).toBe(401)
  })

  test('what was let in before ends as it would have, and leaves its line when there is room again', async () => {
    mkdirSync(directory())
    const running = await started({ destination: destination() })
    const body = new PassThrough()
    upstream.respondWith((connection, heads) => {
      const isDone = connection.received.toString().includes('second half')
      if (heads.at(-1)?.startsWith('GET ') === true)
        connection.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
      else if (isDone) connection.socket.write('HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n')
    })
    const headers = { 'content-type': 'application/octet-stream', 'content-length': 22 }
    const upload = running.as('alice', { method: 'PATCH', path: '/v2/team/app/blobs/uploads/1', headers, body })
    body.write('first half,')
    await until(() => upstream.received().includes('first half'), { what: 'the upload to begin' })
    rmSync(directory(), { recursive: true })
    await untilFailing(running)
    body.end('second half')
    expect((await upload).status).toBe(202)
    mkdirSync(directory())
    await until(async () => (await metric(running, 'wharfgate_audit_up')) === 1, { what: 'the audit to recover' })
    upstream.reset()
    expect((await running.as('alice', push)).status).toBe(200)
    const lines = await until(() => linesOf(destination()).length >= 3 && linesOf(destination()), { what: 'the lines' })
    expect(lines.map(({ method, status, outcome }) => [method, status, outcome])).toEqual([
      ['GET', 200, 'complete'],
      ['PATCH', 202, 'complete'],
      ['PUT', 200, 'complete'],
    ])
    expect(running.log().match(/the audit cannot be written/g)).toHaveLength(1)
    expect(running.log().match(/the audit is written again/g)).toHaveLength(1)
  })

  test('the settings decide the other way round, on a device that is always full', async () => {
    symlinkSync('/dev/full', join(folder, 'full'))
    const onFailure = { writes: 'allow', reads: 'block' }
    const running = await started({ destination: join(folder, 'full'), onFailure })
    await untilFailing(running)
    expect((await running.as('alice', push)).status).toBe(200)
    expect((await running.as('alice', pull)).status).toBe(503)
    expect(running.log()).toContain('ENOSPC')
  })
})

describeOnSmallDisk(64 * 1024, 'on a disk that fills up', (directory) => {
  test('pushes are refused, no line is torn or lost, and it goes on within a second of there being space', async () => {
    const destination = join(directory(), 'audit.log')
    const ballast = join(directory(), 'ballast')
    const running = await started({ destination })
    const ids: string[] = []
    const ask = async (request: typeof pull): Promise<number> => {
      const { status, headers } = await running.as('alice', request)
      ids.push(String(headers['x-request-id']))
      return status
    }
    writeFileSync(ballast, Buffer.alloc(60 * 1024))
    for (let count = 0; count < 40 && (await metric(running, 'wharfgate_audit_up')) === 1; count++) await ask(pull)
    await until(async () => (await metric(running, 'wharfgate_audit_up')) === 0, { what: 'the disk to be full' })
    expect(await ask(push)).toBe(503)
    expect(await ask(pull)).toBe(200)
    expect(readFileSync(destination, 'utf8').endsWith('\n')).toBe(false)
    rmSync(ballast)
    await until(async () => (await metric(running, 'wharfgate_audit_up')) === 1, { what: 'the audit to recover' })
    expect(await ask(push)).toBe(200)
    await gateway?.stop()
    gateway = undefined
    expect(linesOf(destination).map(({ requestId }) => requestId)).toEqual(ids)
  })
})

describe('rotation', () => {
  test('by renaming and a reload loses nothing, and an idle gateway lets go of the old file at once', async () => {
    const running = await started()
    const current = join(running.directory, 'audit.log')
    const rotated: string[] = []
    const asked: string[] = []
    for (let rotation = 0; rotation < 5; rotation++) {
      const answers = await Promise.all(Array.from({ length: 10 }, () => running.as('alice', pull)))
      asked.push(...answers.map(({ headers }) => String(headers['x-request-id'])))
      rotated.push(`${current}.${rotation}`)
      renameSync(current, `${current}.${rotation}`)
      await running.server.reload()
      await until(() => existsSync(current), { what: 'the new file' })
      expect(statSync(current).mode & 0o777).toBe(0o600)
    }
    await until(async () => (await metric(running, 'wharfgate_audit_events_total')) >= 50, { what: 'all lines' })
    const ids = [...rotated, current].flatMap(linesOf).map(({ requestId }) => requestId)
    expect(ids.toSorted()).toEqual(asked.toSorted())
  })

  test('by truncating goes on at the beginning', async () => {
    const running = await started()
    const current = join(running.directory, 'audit.log')
    await running.as('alice', pull)
    await until(() => linesOf(current).length === 1, { what: 'the first line' })
    truncateSync(current)
    await running.as('alice', push)
    await until(() => linesOf(current).length === 1, { what: 'the second line' })
    expect(linesOf(current)).toMatchObject([{ method: 'PUT' }])
  })

  test('a line that was torn by a crash breaks no other', async () => {
    const destination = join(folder, 'audit.log')
    appendFileSync(destination, '{"whole":true}\n{"torn":')
    const running = await started({ destination })
    await running.as('alice', pull)
    const lines = await until(
      () => readFileSync(destination, 'utf8').split('\n').length === 4 && readFileSync(destination, 'utf8'),
      {
        what: 'the line',
      },
    )
    expect(lines.split('\n')[1]).toBe('{"torn":')
    expect(JSON.parse(lines.split('\n')[2] ?? '')).toMatchObject({ user: 'alice' })
  })
})

test('wharfgate audit tail reads what a gateway wrote', async () => {
  const running = await started()
  const { headers } = await running.as('alice', push)
  await running.auditLineOf(String(headers['x-request-id']))
  const command = join(import.meta.dirname, '../../bin/wharfgate.js')
  const config = join(running.directory, 'wharfgate.json')
  const said = execFileSync(process.execPath, [command, 'audit', 'tail', '--config', config, '--user', 'alice'], {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'] },
  })
  expect(said).toMatch(
    /^\S+Z 200 push team\/app:latest by alice from 127\.0\.0\.1 up 2 B down 2 B in .* [0-9a-f-]{36}\n$/,
  )
})
