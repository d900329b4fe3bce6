import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import {
  basicUserName,
  hostAndPort,
  httpOrigin,
  isLoopbackHost,
  listenHost,
  network,
  plainText,
  publicOrigin,
} from '../../../src/config/values.ts'

const parsers = { basicUserName, hostAndPort, httpOrigin, listenHost, network, plainText, publicOrigin } as const

function parse(parser: keyof typeof parsers, text: string): unknown {
  const parsed = parsers[parser].safeParse(text)
  return parsed.success ? parsed.data : undefined
}

describe('an address is printed as the URL standard does', () => {
  test.each([
    ['https://registry.example.org', 'https://registry.example.org'],
    ['HTTPS://Registry.Example.Org:443/', 'https://registry.example.org'],
    ['https://registry.example.org:8443', 'https://registry.example.org:8443'],
    ['https://192.0.2.7', 'https://192.0.2.7'],
    ['https://[fd00::1]:8443', 'https://[fd00::1]:8443'],
    ['https://b\u00fccher.example', 'https://xn--bcher-kva.example'],
    ['http://localhost:8080', 'http://localhost:8080'],
    ['http://127.0.0.2', 'http://127.0.0.2'],
    ['http://[::1]', 'http://[::1]'],
  ])('%s', (text, expected) => {
    expect(parse('publicOrigin', text)).toBe(expected)
  })
  test.each([
    'registry.example.org',
    'https:registry.example.org',
    'https:///registry.example.org',
    'https://',
    'ftp://registry.example.org',
    'https://registry.example.org/v2',
    'https://registry.example.org/?',
    'https://registry.example.org?x=1',
    'https://registry.example.org#',
    'https://alice:secret@registry.example.org',
    'https://@registry.example.org',
    'https://registry.example.org:99999',
    'https://registry.exa\tmple.org',
    ' https://registry.example.org',
    'https://registry.example.org\\v2',
    '',
  ])('%j is none', (text) => {
    expect(parse('publicOrigin', text)).toBeUndefined()
    expect(parse('httpOrigin', text)).toBeUndefined()
  })
  test.each([
    'http://registry.example.org',
    'http://127.example.org',
    'http://0.0.0.0',
    'http://localhost.example.org',
  ])('%s is one of a registry but not a public one', (text) => {
    expect(parse('httpOrigin', text)).toBe(text)
    expect(parse('publicOrigin', text)).toBeUndefined()
  })
})

describe('a network', () => {
  test.each([
    ['10.0.0.0/8', { family: 'ipv4', address: '10.0.0.0', prefixLength: 8 }],
    ['192.0.2.7', { family: 'ipv4', address: '192.0.2.7', prefixLength: 32 }],
    ['0.0.0.0/0', { family: 'ipv4', address: '0.0.0.0', prefixLength: 0 }],
    ['fd00::/8', { family: 'ipv6', address: 'fd00::', prefixLength: 8 }],
    ['::1', { family: 'ipv6', address: '::1', prefixLength: 128 }],
  ])('%s', (text, expected) => {
    expect(parse('network', text)).toEqual(expected)
  })
  test.each([
    '10.0.0.0/33',
    '10.0.0.0/',
    '10.0.0.0/-1',
    '10.0.0.0/8/8',
    '10.0.0',
    '010.0.0.1',
    'fd00::/129',
    'fe80::1%eth0',
    '10.0.0.0/0x8',
    'localhost',
    '',
    ' 10.0.0.1',
  ])('%j is none', (text) => {
    expect(parse('network', text)).toBeUndefined()
  })
})

describe('a host and port', () => {
  test.each([
    ['storage.example.org', 'storage.example.org'],
    ['Storage.Example.Org:8080', 'storage.example.org:8080'],
    ['storage.example.org:443', 'storage.example.org:443'],
    ['storage.example.org:80', 'storage.example.org:80'],
    ['[fd00::1]:9000', '[fd00::1]:9000'],
    ['[fd00::1]', '[fd00::1]'],
    ['192.0.2.7:9000', '192.0.2.7:9000'],
  ])('%s', (text, expected) => {
    expect(parse('hostAndPort', text)).toBe(expected)
  })
  test.each([
    '',
    'https://storage.example.org',
    'storage.example.org/',
    'a@b',
    'a:b',
    'a:99999',
    '*.example.org',
    'fd00::1',
    'a b',
    'a:',
    'a?b',
  ])('%j is none', (text) => {
    expect(parse('hostAndPort', text)).toBeUndefined()
  })
})

test.each([
  ['listenHost', '0.0.0.0', '0.0.0.0'],
  ['listenHost', '::', '::'],
  ['listenHost', '[::1]', '::1'],
  ['listenHost', 'localhost', 'localhost'],
  ['listenHost', '0.0.0.0:8443', undefined],
  ['listenHost', '', undefined],
  ['listenHost', 'a b', undefined],
  ['basicUserName', 'gateway', 'gateway'],
  ['basicUserName', 'a:b', undefined],
  ['basicUserName', '', undefined],
  ['basicUserName', 'a\u0000', undefined],
  ['plainText', 'p\u00e4ssw\u00f6rd: 1', 'p\u00e4ssw\u00f6rd: 1'],
  ['plainText', 'a\nb', undefined],
  ['plainText', '\u007f', undefined],
] as const)('%s of %j is %j', (parser, text, expected) => {
  expect(parse(parser, text)).toBe(expected)
})

test.each([
  ['localhost', true],
  ['registry.localhost', true],
  ['127.0.0.1', true],
  ['[::1]', true],
  ['::1', true],
  ['127.example.org', false],
  ['notlocalhost', false],
  ['192.0.2.7', false],
])('the host %s is this machine: %s', (host, expected) => {
  expect(isLoopbackHost(host)).toBe(expected)
})

test('no parser throws, repeats its text, or accepts its own result differently', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('basicUserName', 'hostAndPort', 'httpOrigin', 'listenHost', 'plainText', 'publicOrigin'),
      fc.string({ unit: 'binary' }),
      (name, text) => {
        const parsed = parsers[name].safeParse(text)
        if (parsed.success) expect(parse(name, parsed.data)).toBe(parsed.data)
        else if (text.length > 5) expect(parsed.error.issues.map(({ message }) => message).join()).not.toContain(text)
      },
    ),
    { numRuns: 1_000 },
  )
})
