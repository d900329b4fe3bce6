import { describe, expect, test } from '@jest/globals'
import { printable, printablePath, withoutSecrets } from '../../../src/telemetry/printable.ts'

describe('a printable text', () => {
  test.each([
    ['docker/28.1.1 go/go1.24', 'docker/28.1.1 go/go1.24'],
    ['a\r\nforged: line', 'aforged: line'],
    ['\u001b[2Jgone\u0007', '[2Jgone'],
    ['line\u2028separator', 'lineseparator'],
    ['\u202egnp.exe', 'gnp.exe'],
    ['Grüße', 'Grüße'],
    ['half \ud83d', 'half '],
  ])('%j becomes %j', (text, expected) => {
    expect(printable(text)).toBe(expected)
  })
  test('has at most 256 characters', () => {
    expect(printable('a'.repeat(100_000))).toHaveLength(256)
  })
})

describe('a printable path', () => {
  test.each([
    ['/v2/a/blobs/uploads/1?_state=canary', '/v2/a/blobs/uploads/1'],
    ['/v2/a/blobs/uploads/1%3F_state=canary', '/v2/a/blobs/uploads/1'],
    ['/v2/a/blobs/uploads/1%3f_state=canary', '/v2/a/blobs/uploads/1'],
    ['/v2/a;_state=canary', '/v2/a'],
    ['/v2/a#canary', '/v2/a'],
    ['http://alice:canary@registry.example.org/v2/', 'http://registry.example.org/v2/'],
    ['//alice:canary@registry.example.org/v2/', '//registry.example.org/v2/'],
    ['*', '*'],
    ['', ''],
    ['/v2/\u0000\n', '/v2/'],
  ])('of %j is %j', (target, expected) => {
    expect(printablePath(target)).toBe(expected)
  })
})

describe('a text without secrets', () => {
  test.each([
    ['header Authorization: Basic YWxpY2U6Y2FuYXJ5', 'header Authorization: Basic [removed]'],
    ['bearer eyJhbGciOiJFZERTQSJ9.canary', 'bearer [removed]'],
    ['connect redis://:canary@127.0.0.1:6379 failed', 'connect redis://[removed]@127.0.0.1:6379 failed'],
    [
      'redirect to https://storage.example.org/blob?X-Amz-Signature=canary refused',
      'redirect to https://storage.example.org/blob?[removed] refused',
    ],
    ['is the disk full?', 'is the disk full?'],
    ['connect ECONNREFUSED 127.0.0.1:5000', 'connect ECONNREFUSED 127.0.0.1:5000'],
  ])('made of %j is %j', (text, expected) => {
    expect(withoutSecrets(text)).toBe(expected)
  })
})
