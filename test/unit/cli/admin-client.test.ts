import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { Command } from 'commander'
import { AdminClientError, askGateway, concludeAdmin, listOf } from '../../../src/cli/admin-client.ts'
import { reloadCommand } from '../../../src/cli/reload.ts'
import { runCommand, startAdminSite } from './admin-terminal.ts'

let folder: string
const servers: { server: Server; sockets: Set<Socket> }[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'wharfgate-client-'))
})
afterEach(async () => {
  for (const { server, sockets } of servers.splice(0)) {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  }
  rmSync(folder, { recursive: true, force: true })
})

/** A socket on which somebody answers each connection so. */
async function listen(answer: (socket: Socket) => void): Promise<string> {
  const path = join(folder, 'admin.sock')
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => undefined))
    socket.once('data', () => {
      answer(socket)
    })
  })
  servers.push({ server, sockets })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  return path
}

const http = (status: string, body: string) => (socket: Socket) =>
  void socket.end(`HTTP/1.1 ${status}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
const question = { method: 'GET', path: '/limits', query: { user: 'alice' }, timeoutMs: 20_000 } as const
const failureOf = (asked: Promise<unknown>): Promise<unknown> =>
  asked.then(
    () => undefined,
    (error: unknown) => error,
  )

describe('asking a gateway over its admin socket', () => {
  test.each<[title: string, answer: (socket: Socket) => void, sentence: RegExp]>([
    [
      'says no',
      http('409 Conflict', '{"error":"limits are off"}'),
      /^the gateway at .*admin\.sock says: limits are off$/,
    ],
    [
      'is none of wharfgate',
      http('404 Not Found', '<html>'),
      /answered 404, which is no answer of wharfgate; is --socket/,
    ],
    ['sends what is no JSON', http('200 OK', 'fine'), /answered 200, which is no answer of wharfgate/],
    ['sends nothing', http('200 OK', ''), /answered 200, which is no answer of wharfgate/],
    [
      'breaks off before its answer',
      (socket) => socket.destroy(),
      /ended before it answered; what was asked may be done/,
    ],
    [
      'breaks off in its answer',
      (socket) => {
        socket.end('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"limits":')
      },
      /admin\.sock: /,
    ],
    ['speaks something else', (socket) => void socket.end('220 hello\r\n'), /admin\.sock: .*Parse Error/],
  ])('fails with a cure when it %s', async (_title, answer, sentence) => {
    const error = await failureOf(askGateway({ socket: await listen(answer) }, {}, question))
    expect(error).toBeInstanceOf(AdminClientError)
    expect(error).toMatchObject({ message: expect.stringMatching(sentence) })
  })

  test('fails when it does not answer in time', async () => {
    const socket = await listen(() => undefined)
    const error = await failureOf(askGateway({ socket }, {}, { ...question, timeoutMs: 50 }))
    expect(error).toBeInstanceOf(AdminClientError)
    expect(error).toMatchObject({ message: expect.stringContaining('did not answer within 0.05 s') })
  })

  test('fails when nobody listens there, and when whoever did is gone', async () => {
    expect(await failureOf(askGateway({ socket: join(folder, 'nobody.sock') }, {}, question))).toMatchObject({
      message: expect.stringContaining('no gateway has its admin socket there; is it running'),
    })
    writeFileSync(join(folder, 'left.sock'), '')
    expect(await failureOf(askGateway({ socket: join(folder, 'left.sock') }, {}, question))).toMatchObject({
      message: expect.stringContaining('the gateway that made it is gone'),
    })
  })

  test('takes the path of the socket from the configuration, and tells every fault of one that is broken', async () => {
    const socket = await listen(http('200 OK', '{"limits":[]}'))
    const config = join(folder, 'wharfgate.json')
    const settings = {
      publicUrl: 'https://registry.example.test',
      upstream: { url: 'http://127.0.0.1:5000' },
      tls: { certificateFile: 'tls.crt', keyFile: 'tls.key' },
      authentication: { htpasswd: { enabled: true, file: 'htpasswd' } },
      authorization: { policies: 'policies' },
    }
    writeFileSync(config, JSON.stringify({ ...settings, admin: { socket } }))
    expect(await askGateway({ config }, {}, question)).toEqual({ limits: [] })
    writeFileSync(config, JSON.stringify({ ...settings, admin: { sockte: socket } }))
    expect(await failureOf(askGateway({ config }, {}, question))).toMatchObject({
      message: expect.stringMatching(
        /sockte[^]*the path of the admin socket is not known; name it with --socket PATH$/,
      ),
    })
  })

  test('sends the words as they are', async () => {
    let sent = ''
    const path = await listen((socket) => {
      http('200 OK', '{}')(socket)
    })
    servers[0]?.server.on('connection', (socket: Socket) =>
      socket.once('data', (chunk: Buffer) => (sent = chunk.toString())),
    )
    await askGateway({ socket: path }, {}, { ...question, query: { user: 'a&b +%é', all: '', bucket: undefined } })
    expect(sent.split('\r\n')[0]).toBe('GET /limits?user=a%26b%20%2B%25%C3%A9&all HTTP/1.1')
  })
})

describe('the list of an answer', () => {
  test.each<[title: string, answer: unknown]>([
    ['is missing', {}],
    ['is none', { limits: 'none' }],
    ['holds what cannot be read', { limits: [{}] }],
    ['is asked of what is no object', null],
  ])('that %s is told as one of another version', (_title, answer) => {
    expect(() => listOf(answer, 'limits', () => undefined)).toThrow(
      "use the wharfgate command of the gateway's own version",
    )
  })
})

describe('a command that failed', () => {
  test('tells why and ends with 1; a fault of ours is not hidden', async () => {
    const failing = (error: Error) => (terminal: Parameters<typeof concludeAdmin>[0]) =>
      new Command('probe').action(() => concludeAdmin(terminal, () => Promise.reject(error)))
    expect(await runCommand(failing(new AdminClientError('not so')), [])).toEqual({
      stdout: '',
      stderr: 'wharfgate: not so\n',
      code: 1,
    })
    await expect(runCommand(failing(new Error('a fault')), [])).rejects.toThrow('a fault')
  })
})

describe('wharfgate reload', () => {
  test.each<[title: string, outcomes: readonly object[], stdout: string, code: number]>([
    ['all is well', [{ part: 'users', result: 'reloaded', needRestart: [] }], 'users: reloaded\n', 0],
    [
      'a restart is needed',
      [{ part: 'configuration', result: 'reloaded', needRestart: ['listen.port', 'redis'] }],
      'configuration: reloaded (needs a restart to take effect: listen.port, redis)\n',
      0,
    ],
    [
      'a part is refused',
      [{ part: 'users', result: 'refused', problems: ['line 1', 'line 2'] }],
      'users: refused, the last good state serves on\n  line 1\n  line 2\n',
      1,
    ],
  ])('tells what became of each part when %s', async (_title, outcomes, stdout, code) => {
    const reload = () => Promise.resolve(outcomes as never)
    const site = await startAdminSite({ reload }, reloadCommand)
    try {
      expect(await site.run([])).toEqual({ stdout, stderr: '', code })
    } finally {
      await site.close()
    }
  })
})
