import { describe, expect, test } from '@jest/globals'
import { RegistryError } from '../../../src/registry/error.ts'
import { parseRegistryRequest } from '../../../src/registry/route.ts'
import { noAudit } from '../../../src/telemetry/audit.ts'
import type { Audit } from '../../../src/telemetry/audit.ts'
import { auditLine } from '../../../src/telemetry/audit-line.ts'
import type { AuditLine } from '../../../src/telemetry/audit-line.ts'
import { createEvents } from '../../../src/telemetry/events.ts'
import type { ExchangeRecord } from '../../../src/telemetry/exchange-record.ts'
import type { LogLevel } from '../../../src/telemetry/log.ts'
import { createMetrics } from '../../../src/telemetry/metrics.ts'
import { createManualClock } from './manual-clock.ts'
import { exchange, keepLog } from './samples.ts'

function trial(level: LogLevel = 'debug') {
  const clock = createManualClock()
  const kept = keepLog(level)
  const metrics = createMetrics({ version: '0.1.0', revision: 'abc', nodejsVersion: 'v24' }, false)
  const audited: AuditLine[] = []
  const audit: Audit = { ...noAudit, record: (record) => audited.push(auditLine(record)) }
  const events = createEvents({ log: kept.log, metrics, audit, clock })
  const series = async (name: string): Promise<readonly string[]> => {
    const { text } = await metrics.exposition()
    return text.split('\n').filter((line) => line.startsWith(name) && !line.endsWith(' 0'))
  }
  return { events, clock, kept, audited, metrics, series }
}

function ended(differences: Partial<ExchangeRecord>, level?: LogLevel) {
  const all = trial(level)
  all.events.exchangeStarted()
  all.events.exchangeEnded(exchange(differences))
  return all
}

describe('the end of an exchange', () => {
  test('is told to audit, metrics and log from one record', async () => {
    const error = new RegistryError('accessDenied')
    const decision = {
      kind: 'refused',
      policy: 'p',
      policyGeneration: 0,
      required: [],
      rule: undefined,
      shadowDecision: undefined,
      mountRemoved: false,
      protectedTags: [],
    } as const
    const { audited, kept, series } = ended({ status: 403, error, decision, bytesDown: 0 })
    expect(audited).toMatchObject([{ user: 'alice', status: 403, errorId: 'accessDenied', decision: 'refused' }])
    expect(kept.entries()).toMatchObject([
      { level: 'info', requestId: '0f9a', user: 'alice', status: 403, errorId: 'accessDenied', reference: 'latest' },
    ])
    expect(await series('wharfgate_http_requests_total')).toEqual([
      'wharfgate_http_requests_total{route="manifest",method="GET",code="403"} 1',
    ])
    expect(await series('wharfgate_errors_total')).toEqual(['wharfgate_errors_total{id="accessDenied"} 1'])
    expect(await series('wharfgate_authz_decisions_total')).toEqual([
      'wharfgate_authz_decisions_total{decision="refused"} 1',
    ])
    expect(await series('wharfgate_http_requests_in_flight')).toEqual([])
  })

  test('counts a mount that became an ordinary upload', async () => {
    const decision = {
      kind: 'granted',
      policy: 'p',
      policyGeneration: 0,
      required: [],
      rule: undefined,
      shadowDecision: undefined,
      mountRemoved: true,
      protectedTags: [],
    } as const
    const { audited, series } = ended({ decision })
    expect(audited).toMatchObject([{ mountRemoved: true }])
    expect(await series('wharfgate_mounts_removed_total')).toEqual(['wharfgate_mounts_removed_total 1'])
  })

  test.each([
    ['aborted-by-client', 'client', 'info'],
    ['aborted-by-upstream', 'upstream', 'warn'],
    ['aborted-by-gateway', 'gateway', 'warn'],
  ] as const)('%s is counted for the side %s and logged at %s', async (outcome, side, level) => {
    const { kept, series, audited } = ended({ outcome })
    expect(await series('wharfgate_http_aborted_total')).toEqual([`wharfgate_http_aborted_total{side="${side}"} 1`])
    expect(kept.entries()).toMatchObject([{ level, outcome }])
    expect(audited).toMatchObject([{ outcome }])
  })

  test.each([
    [undefined, 'debug'],
    ['credentialsMissing', 'debug'],
    ['credentialsInvalid', 'info'],
    ['nameInvalid', 'info'],
    ['upstreamUnreachable', 'warn'],
    ['loginsOverloaded', 'warn'],
    ['gatewayFault', 'error'],
  ] as const)('with the error %s is logged at %s', (id, level) => {
    const { kept } = ended({ error: id === undefined ? undefined : new RegistryError(id) })
    expect(kept.entries()).toMatchObject([{ level }])
  })

  test('with a fault tells its cause to the log, and only there', () => {
    const cause = Object.assign(new Error('connect ECONNREFUSED 10.0.0.9:5000'), { code: 'ECONNREFUSED' })
    const { kept, audited } = ended({ error: new RegistryError('upstreamUnreachable', { cause }) })
    expect(kept.entries()).toMatchObject([{ error: { id: 'upstreamUnreachable', cause: { code: 'ECONNREFUSED' } } }])
    expect(JSON.stringify(audited)).not.toContain('10.0.0.9')
  })

  test('leaves no user, repository, tag, address or agent in the metrics, and no secret anywhere', async () => {
    const record = exchange({
      request: parseRegistryRequest('PUT', '/v2/canaryrepo/blobs/uploads/canarysession?_state=canarystate&digest=x'),
      method: 'CANARYMETHOD',
      path: '/v2/canarypath?_state=canarystate',
      clientAddress: 'canaryaddress',
      userAgent: 'canaryagent',
      principal: { kind: 'user', name: 'canaryuser', groups: ['canarygroup'], method: 'htpasswd' },
      error: new RegistryError('gatewayFault', {
        cause: new Error('Authorization: Basic canarysecret?_state=canarystate'),
      }),
    })
    const { events, kept, audited, metrics } = trial('trace')
    events.exchangeStarted()
    events.exchangeEnded(record)
    events.exchangeStarted()
    events.exchangeEnded({ ...record, request: undefined })
    const { text } = await metrics.exposition()
    expect(text.match(/canary\w*/gi)).toBeNull()
    const told = `${kept.text()}${JSON.stringify(audited)}`
    expect(told).toContain('canaryuser')
    expect(told.match(/canary(?:state|secret|session)/g)).toBeNull()
    expect(kept.text()).not.toContain('canarygroup')
  })
})

describe('failed handshakes', () => {
  test('are counted each, and logged in one line a second', async () => {
    const { events, clock, kept, series } = trial()
    for (let count = 0; count < 1_000; count++) events.tlsHandshakeFailed(count % 4 === 0 ? 'plain_http' : 'not_tls')
    events.connectionRefused('too_many')
    expect(kept.entries()).toEqual([])
    clock.advance(1_000)
    expect(kept.entries()).toMatchObject([{ level: 'info', plain_http: 250, not_tls: 750, too_many: 1 }])
    clock.advance(10_000)
    expect(kept.entries()).toHaveLength(1)
    events.tlsHandshakeFailed('timeout')
    clock.advance(1_000)
    expect(kept.entries()[1]).toMatchObject({ timeout: 1 })
    expect(kept.entries()[1]).not.toHaveProperty('plain_http')
    expect(await series('wharfgate_tls_handshake_errors_total{reason="not_tls"}')).toEqual([
      'wharfgate_tls_handshake_errors_total{reason="not_tls"} 750',
    ])
  })

  test('that were not told of yet are told when the gateway stops', () => {
    const { events, clock, kept } = trial()
    events.tlsHandshakeFailed('timeout')
    events.stopped(0)
    expect(kept.entries()).toMatchObject([{ timeout: 1 }, { message: 'stopped', cutOff: 0 }])
    expect(clock.waiting()).toBe(0)
  })
})

describe('the upstream', () => {
  test('is logged when it goes and when it comes back, not each time', async () => {
    const { events, kept, series } = trial()
    for (const up of [true, true, false, false, false, true, true]) events.upstreamContact(up)
    expect(kept.entries().map(({ level, message }) => [level, message])).toEqual([
      ['warn', 'the upstream registry cannot be reached'],
      ['info', 'the upstream registry can be reached again'],
    ])
    expect(await series('wharfgate_upstream_up')).toEqual(['wharfgate_upstream_up 1'])
  })

  test('that refuses the gateway raises the alarm', async () => {
    const { events, kept, series } = trial()
    events.upstreamRefusedGateway()
    expect(kept.entries()).toMatchObject([{ level: 'error' }])
    expect(await series('wharfgate_upstream_refused_gateway_total')).toHaveLength(1)
  })
})

describe('other events', () => {
  test('of a policy tell its doubts, or that they were not looked for', () => {
    const { events, kept } = trial()
    const policy = { role: 'live', name: 'p', generation: 2, rules: 3 } as const
    events.policyLoaded({ ...policy, warnings: ['a.yaml:2:3 rules[0]: changes nothing'] })
    events.policyLoaded({ ...policy, warnings: undefined })
    expect(kept.entries()).toMatchObject([
      { level: 'info', ...policy, doubtsSought: true },
      { level: 'warn', warning: 'a.yaml:2:3 rules[0]: changes nothing' },
      { level: 'info', ...policy, doubtsSought: false },
    ])
  })

  test('a certificate is warned of from four weeks before its end, and after it', () => {
    const { events, clock, kept } = trial()
    const certificate = { name: 'a', file: 'a.crt', subjectCommonName: 'a.example.org' }
    const inDays = (days: number) => new Date(clock.now() + days * 86_400_000)
    events.certificateLoaded({ ...certificate, notAfter: inDays(30) })
    events.certificateLoaded({ ...certificate, notAfter: inDays(27) })
    events.certificateInUse({ ...certificate, notAfter: inDays(30) })
    events.certificateInUse({ ...certificate, notAfter: inDays(-1) })
    expect(kept.entries().map(({ level, message }) => `${String(level)}: ${String(message)}`)).toEqual([
      'info: a certificate is loaded',
      'info: a certificate is loaded',
      'warn: a certificate ends soon; replace its file',
      'warn: a certificate is being served after its end',
    ])
  })

  test('faults of the htpasswd file are warnings, a bounded number of them', async () => {
    const { events, kept, series } = trial()
    const faults = Array.from({ length: 500 }, (_, line) => `line ${line}: the hash is not bcrypt`)
    events.htpasswdLoaded({ users: 3, unusableLines: 500, faults })
    expect(kept.entries().filter(({ level }) => level === 'warn')).toHaveLength(20)
    expect(await series('wharfgate_htpasswd')).toEqual([
      'wharfgate_htpasswd_users 3',
      'wharfgate_htpasswd_unusable_lines 500',
    ])
  })

  test('start, drain and stop are in the log', () => {
    const { events, kept } = trial('info')
    events.serving(['https://127.0.0.1:8443'])
    events.draining(300_000)
    events.stopped(2)
    expect(kept.entries()).toMatchObject([
      { message: 'serving', addresses: ['https://127.0.0.1:8443'] },
      { timeoutMs: 300_000 },
      { message: 'stopped', cutOff: 2 },
    ])
  })

  test('a login and a question to the cache are counted', async () => {
    const { events, series } = trial()
    events.loginChecked({ backend: 'none', outcome: 'malformed', durationMs: 500 })
    events.credentialCacheAsked('negative-hit')
    events.passwordHashed({ queuedMs: 1, durationMs: 50 })
    events.hashTurnedAway('queueWait')
    expect(await series('wharfgate_auth_attempts_total')).toEqual([
      'wharfgate_auth_attempts_total{backend="none",outcome="malformed"} 1',
    ])
    expect(await series('wharfgate_auth_cache_requests_total')).toHaveLength(1)
    expect(await series('wharfgate_password_hash_duration_seconds_sum')).toEqual([
      'wharfgate_password_hash_duration_seconds_sum 0.05',
    ])
    expect(await series('wharfgate_password_hashes_refused_total')).toHaveLength(1)
  })
})
