import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { searchWritten } from '../../support/canaries.ts'
import { basicOf, htpasswdFile, passwords } from '../../support/personas.ts'

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'wharfgate-canaries-'))
})
afterEach(() => {
  rmSync(folder, { recursive: true, force: true })
})

describe('the search for secrets in what gateways wrote (A-119)', () => {
  test.each([
    ['a password', `{"user":"${passwords.bob}"}`, 'the password of bob'],
    ['a password in an address', `https://a:${encodeURIComponent(passwords.alice)}@host`, 'the password of alice'],
    ['Basic credentials', `{"header":"${basicOf('ci')}"}`, 'the Basic credentials of ci'],
    ['a hash', htpasswdFile().split('\n')[0] ?? '', 'a hash of a password'],
    ['the state of an upload', 'PATCH /v2/a/blobs/uploads/1?_state=AbC', 'the state of an upload'],
    ['a signature', '?X-Amz-Date=1&X-Amz-Signature=0f', 'the signature of a storage URL'],
    ['a key', '-----BEGIN EC PRIVATE KEY-----', 'a private key'],
  ])('finds %s and tells where', async (_name, text, canary) => {
    writeFileSync(join(folder, 'log-1'), `{"message":"serving"}\n${text}\n`)
    const { hits } = await searchWritten(folder)
    expect(hits).toContainEqual({ file: 'log-1', line: 2, canary })
  })

  test('finds a password that a test gave to its own gateway', async () => {
    writeFileSync(join(folder, 'secrets.jsonl'), '["gateway","a pass-word of the upstream"]\n')
    writeFileSync(join(folder, 'metrics-1'), 'x{y="a pass-word of the upstream"} 1')
    const { hits } = await searchWritten(folder)
    expect(hits).toStrictEqual([{ file: 'metrics-1', line: 1, canary: 'the password of gateway' }])
  })

  test('finds nothing in what is no secret, and tells how much it searched', async () => {
    const text = '{"user":"alice","error":"Basic [removed]","path":"/v2/a/blobs/uploads/?[removed]"}\n'
    writeFileSync(join(folder, 'log-1'), text)
    expect(await searchWritten(folder)).toMatchObject({ hits: [], files: 1, bytes: text.length })
  })
})
