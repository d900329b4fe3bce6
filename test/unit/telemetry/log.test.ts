import { Writable } from 'node:stream'
import { describe, expect, test } from '@jest/globals'
import { RegistryError } from '../../../src/registry/error.ts'
import { createLogger, logTo } from '../../../src/telemetry/log.ts'
import { keepLog } from './samples.ts'

function codedError(message: string, code: string, more: object = {}): Error {
  return Object.assign(new Error(message), { code }, more)
}

describe('the log', () => {
  test('writes one JSON line for each entry, with level, time and message', () => {
    const { log, text, entries } = keepLog()
    log.info('serving', { addresses: ['https://0.0.0.0:8443'] })
    expect(text().split('\n')).toHaveLength(2)
    expect(entries()[0]).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) as unknown,
      message: 'serving',
      addresses: ['https://0.0.0.0:8443'],
    })
  })

  test('leaves out what is below its level', () => {
    const { log, entries } = keepLog('warn')
    log.info('not this')
    log.warn('this')
    expect(entries().map(({ message }) => message)).toEqual(['this'])
    expect([log.isEnabled('info'), log.isEnabled('warn'), log.isEnabled('error')]).toEqual([false, true, true])
  })

  test('tells an error with its id and the chain of its causes', () => {
    const { log, entries } = keepLog()
    const refused = codedError('connect ECONNREFUSED 127.0.0.1:5000', 'ECONNREFUSED')
    const attempts = new AggregateError([refused], 'all addresses failed')
    log.warn('a request could not be served', {}, new RegistryError('upstreamUnreachable', { cause: attempts }))
    expect(entries()[0]?.['error']).toMatchObject({
      name: 'RegistryError',
      id: 'upstreamUnreachable',
      cause: { name: 'AggregateError', errors: [{ code: 'ECONNREFUSED', message: refused.message }] },
    })
  })

  test('gives a stack to a fault of the program, and none to an error of the system', () => {
    const { log, entries } = keepLog()
    log.error('fault', {}, new TypeError('x is not a function'))
    log.error('fault', {}, codedError('reset', 'ECONNRESET'))
    const [program, system] = entries().map(({ error }) => error)
    expect(program).toMatchObject({ name: 'TypeError', stack: expect.stringContaining('log.test.ts') as unknown })
    expect(system).not.toHaveProperty('stack')
  })

  test('ends a circle of causes', () => {
    const { log, entries } = keepLog()
    const error = new Error('round')
    error.cause = error
    log.error('fault', {}, error)
    expect(entries()).toHaveLength(1)
  })

  test('never prints a secret, wherever it stands', () => {
    const { log, text } = keepLog()
    const header = 'Basic Y2FuYXJ5OmNhbmFyeQ=='
    const leaky = codedError(`bad header ${header}`, 'ERR_INVALID_CHAR', {
      input: 'redis://:canary@cache',
      headers: { authorization: header, cookie: 'canary' },
      config: { password: 'canary' },
      cause: new Error('GET https://storage.example.org/?X-Amz-Signature=canary failed'),
    })
    leaky.stack = `Error: canary\n    at place (file:///gateway.ts:1:1)`
    log.error(`failed with ${header}`, { password: 'canary', authorization: 'canary', query: '_state=canary' }, leaky)
    log.error('address', { address: 'https://alice:canary@registry.example.org/v2/?_state=canary' })
    log.error('fault', {}, Object.assign(new Error('plain'), { stack: 'Error: canary\n    at place' }))
    log.error('thrown', {}, 'Bearer canary-canary')
    expect(text()).not.toMatch(/canary|Y2FuYXJ5/)
    expect(text().match(/\[removed\]/g)?.length).toBeGreaterThanOrEqual(7)
  })

  test('survives a reader that has gone and a disk that is full', () => {
    const broken = new Writable({
      write: (_chunk, _encoding, done) => {
        done(codedError('write EPIPE', 'EPIPE'))
      },
    })
    const full = new Writable()
    full.write = () => {
      throw codedError('no space', 'ENOSPC')
    }
    for (const stream of [broken, full]) {
      const log = createLogger('info', logTo(stream))
      log.info('one')
      expect(() => {
        log.info('two')
      }).not.toThrow()
    }
  })

  test('keeps at most 4 MiB for a reader that does not read', () => {
    const stuck = new Writable({ write: () => undefined })
    const log = createLogger('info', logTo(stuck))
    const word = 'x'.repeat(64 * 1024)
    for (let count = 0; count < 200; count++) log.info('line', { word })
    expect(stuck.writableLength).toBeGreaterThan(4 * 1024 * 1024)
    expect(stuck.writableLength).toBeLessThan(5 * 1024 * 1024)
  })
})
