import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { headerOf } from '../support/raw-http-client.ts'
import type { RawRequest } from './attack.ts'
import { messageOf, requestOf, startPolicyFront, startPolicyGateway } from './policies-front.ts'
import type { PolicyFront } from './policies-front.ts'

describe('what a refused person is told', () => {
  const message = 'releases go through "ci"\\\\ for „jeden“ \u{1F6A2}'
  const long = `ask the platform team first: ${'a'.repeat(200)}`
  const policy = `
rules:
  - { allow: owner, to: authenticated, on: [prod/**, quoted/**, long/**, folded/**] }
  - { deny: push, to: user:alice, on: prod/**, message: releases go through ci }
  - { deny: push, to: user:alice, on: quoted/**, message: 'releases go through "ci"\\\\ for „jeden“ \u{1F6A2}' }
  - { deny: push, to: user:alice, on: long/**, message: '${long}' }
  - deny: push
    to: user:alice
    on: folded/**
    message: >-
      first line
      second line
  - { allow: pull, to: group:readers, on: near/**, message: ask for the group readers }
`
  let front: PolicyFront
  beforeAll(async () => {
    front = await startPolicyFront({ policy, users: ['alice', 'zoë "x"\\'] })
  })
  afterAll(() => front.stop())

  const push = (repository: string): RawRequest => requestOf('PUT', `/v2/${repository}/manifests/v1`)

  test('who, what, where and why, in the message and in the reason phrase', async () => {
    const answer = await front.ask('alice', push('prod/api'))
    const sentence = 'alice may not push to prod/api: releases go through ci'
    expect(answer.statusLine).toBe(`HTTP/1.1 403 Forbidden (${sentence})`)
    expect(messageOf(answer)).toBe(sentence)
    expect(headerOf(answer, 'content-type')).toBe('application/json')
    expect(headerOf(answer, 'www-authenticate')).toBeUndefined()
  })

  test('the same to a HEAD, whose answer has no body', async () => {
    const { statusLine, body } = await front.ask('alice', { method: 'HEAD', target: '/v2/other/app/manifests/v1' })
    expect({ statusLine, body }).toEqual({
      statusLine: 'HTTP/1.1 403 Forbidden (alice may not pull from or push to other/app)',
      body: '',
    })
  })

  test('a message keeps its signs in the JSON, and the status line is visible ASCII', async () => {
    const answer = await front.ask('alice', push('quoted/app'))
    expect(messageOf(answer)).toBe(`alice may not push to quoted/app: ${message}`)
    expect(answer.statusLine).toBe(
      'HTTP/1.1 403 Forbidden (alice may not push to quoted/app: releases go through "ci"\\\\ for ?jeden? ?)',
    )
  })

  test('a long message stands whole in the JSON, and cut in the status line', async () => {
    const answer = await front.ask('alice', push('long/app'))
    expect(messageOf(answer)).toBe(`alice may not push to long/app: ${long}`)
    expect(answer.statusLine).toMatch(
      /^HTTP\/1\.1 403 Forbidden \(alice may not push to long\/app: ask the .*a\.\.\.\)$/,
    )
    expect(answer.statusLine).toHaveLength('HTTP/1.1 403 '.length + 160)
  })

  test('lines that are folded in the file are one', async () => {
    expect(messageOf(await front.ask('alice', push('folded/app')))).toBe(
      'alice may not push to folded/app: first line second line',
    )
  })

  test('the message of the rule that would have allowed it', async () => {
    expect(messageOf(await front.ask('alice', { target: '/v2/near/app/tags/list' }))).toBe(
      'alice may not pull from near/app: ask for the group readers',
    )
  })

  test('a name of other signs does not break the answer', async () => {
    const answer = await front.ask('zoë "x"\\', push('other/app'))
    expect(messageOf(answer)).toBe('zoë "x"\\ may not push to other/app')
    expect(answer.statusLine).toBe('HTTP/1.1 403 Forbidden (zo? "x"\\ may not push to other/app)')
  })

  test.each([
    ['a line feed', '"first\\nX-Injected: yes"'],
    ['a carriage return', '"first\\r\\n\\r\\nsecond"'],
    ['a block of lines', '|\n      first\n      second\n'],
    ['a zero byte', '"first\\0"'],
  ])('a message with %s is not taken', async (_name, text) => {
    const spoilt = `rules:\n  - deny: push\n    to: user:alice\n    on: '**'\n    message: ${text}\n`
    await expect(startPolicyGateway({ upstreamUrl: 'http://127.0.0.1:1', policy: spoilt })).rejects.toThrow(
      /default\.yaml:5:5 rules\[0\]\.message: must not contain control characters/,
    )
  })
})
