import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { openAdminSocket } from '../../../src/server/admin-socket.ts'
import type { AdminSocket } from '../../../src/server/admin-socket.ts'

let folder: string
let path: string
let socket: AdminSocket
let reloads = 0
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'wharfgate-socket-'))
  path = join(folder, 'run', 'admin.sock')
  reloads = 0
  socket = await openAdminSocket(path, {
    reload: () => {
      reloads += 1
      return Promise.resolve([{ part: 'users', result: 'reloaded', needRestart: [] }])
    },
    flush: () => undefined,
  })
})
afterEach(async () => {
  await socket.close()
  rmSync(folder, { recursive: true, force: true })
})

type Answer = { readonly status: number | undefined; readonly headers: object; readonly body: unknown }

function ask(method: string, target: string, body = ''): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath: path, path: target, method, agent: false }, (res) => {
      let text = ''
      res.on('data', (chunk: Buffer) => (text += chunk.toString()))
      res.on('end', () => {
        resolve({ status: res.statusCode, headers: res.headers, body: text === '' ? undefined : JSON.parse(text) })
      })
    })
    asked.on('error', reject).end(body)
  })
}

test('answers as JSON what was asked, whatever body came with it', async () => {
  expect(await ask('POST', '/reload', '{"path":"/elsewhere"}')).toMatchObject({
    status: 200,
    headers: { 'content-type': 'application/json' },
    body: { outcomes: [{ part: 'users', result: 'reloaded', needRestart: [] }] },
  })
  expect(reloads).toBe(1)
})

test('tells which method is the right one', async () => {
  expect(await ask('GET', '/reload')).toMatchObject({
    status: 405,
    headers: { allow: 'POST' },
    body: { error: '/reload is a POST', usage: ['POST /reload'] },
  })
  expect(reloads).toBe(0)
})

test('serves on after what it could not do', async () => {
  expect(await ask('GET', '/limits?user=%')).toMatchObject({ status: 400 })
  expect(await ask('GET', '/limits?user=alice')).toMatchObject({ status: 409 })
  expect(await ask('POST', '/reload')).toMatchObject({ status: 200 })
})

test('is for the owner of the process alone, and its folder too', () => {
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(statSync(join(folder, 'run')).mode & 0o777).toBe(0o700)
})

test('is not taken from a gateway that answers there', async () => {
  await expect(openAdminSocket(path, { reload: () => Promise.resolve([]), flush: () => undefined })).rejects.toThrow(
    'belongs to another running gateway',
  )
  expect(await ask('POST', '/reload')).toMatchObject({ status: 200 })
})
