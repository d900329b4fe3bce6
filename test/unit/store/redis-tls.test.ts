import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { redisTlsOptions } from '../../../src/store/redis-tls.ts'
import { makeUpstreamCertificate } from '../../support/upstream-certificate.ts'
import type { UpstreamCertificate } from '../../support/upstream-certificate.ts'

let directory: string
let one: UpstreamCertificate
let other: UpstreamCertificate
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'wharfgate-redis-tls-'))
  one = await makeUpstreamCertificate()
  other = await makeUpstreamCertificate()
})
afterAll(() => {
  rmSync(directory, { recursive: true, force: true })
})

function fileOf(name: string, content: string): string {
  const file = join(directory, name)
  writeFileSync(file, content)
  return file
}

test('without files, the authorities of Node.js vouch, and the host is checked', () => {
  const options = redisTlsOptions({})
  expect(Object.keys(options)).toEqual(['secureContext'])
  expect(options.secureContext).toBeDefined()
})

test('a name of the configuration is checked instead of the host', () => {
  expect(redisTlsOptions({ serverName: 'redis.internal' }).servername).toBe('redis.internal')
})

test('a copy of the options has what the files say then, as far as they can be used', () => {
  const caFile = fileOf('ca.crt', one.ca)
  const [certificateFile, keyFile] = [fileOf('w.crt', one.cert), fileOf('w.key', one.key)]
  const options = redisTlsOptions({ caFile, certificateFile, keyFile })
  const first = { ...options }.secureContext
  expect({ ...options }.secureContext).toBe(first)
  fileOf('w.crt', other.cert)
  expect({ ...options }.secureContext).toBe(first)
  rmSync(keyFile)
  expect({ ...options }.secureContext).toBe(first)
  fileOf('w.key', other.key)
  const second = { ...options }.secureContext
  expect(second).not.toBe(first)
  expect({ ...options }.secureContext).toBe(second)
})

test.each(['caFile', 'certificateFile', 'keyFile'])('%s that is not there is named', (key) => {
  const files = { certificateFile: fileOf('a.crt', one.cert), keyFile: fileOf('a.key', one.key) }
  const missing = join(directory, 'missing')
  expect(() => redisTlsOptions({ ...files, [key]: missing })).toThrow(
    `redis.tls.${key}: the file ${missing} cannot be read`,
  )
})

test('a key of another certificate is refused, and not repeated', () => {
  const files = { certificateFile: fileOf('b.crt', one.cert), keyFile: fileOf('b.key', other.key) }
  expect(() => redisTlsOptions(files)).toThrow(
    'redis.tls cannot be used: the files must be PEM, and the key that of the certificate',
  )
})
