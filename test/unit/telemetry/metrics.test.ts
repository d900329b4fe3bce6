import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { codeLabel, labelValues, methodLabel, routeLabel } from '../../../src/telemetry/labels.ts'
import { definitions } from '../../../src/telemetry/metric-definitions.ts'
import { createMetrics, removedNodeMetrics } from '../../../src/telemetry/metrics.ts'
import type { Metrics } from '../../../src/telemetry/metrics.ts'
import { metricsReference } from '../../../src/telemetry/metrics-reference.ts'
import { part } from '../../support/part.ts'
import { describeWith } from '../../support/real-parts.ts'

const build = { version: '0.1.0', revision: 'abc', nodejsVersion: 'v24.21.0' }

function ours(): Metrics {
  return createMetrics(build, false)
}

/** Value of a series, by the whole text before it; undefined when the series is not there. */
async function valueOf(metrics: Metrics, series: string): Promise<number | undefined> {
  const { text } = await metrics.exposition()
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${series} `))
  return line === undefined ? undefined : Number(line.slice(series.length + 1))
}

async function seriesOf(metrics: Metrics): Promise<readonly string[]> {
  const { text } = await metrics.exposition()
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
}

const pull = {
  route: 'blob',
  method: 'GET',
  code: '200',
  durationSeconds: 0.02,
  bytesUp: 0,
  bytesDown: 1000,
  abortedBy: undefined,
  errorId: undefined,
} as const

describe('the metrics', () => {
  test('count an exchange once in each place', async () => {
    const metrics = ours()
    metrics.exchangeStarted()
    metrics.exchangeStarted()
    expect(await valueOf(metrics, 'wharfgate_http_requests_in_flight')).toBe(2)
    metrics.exchangeEnded(pull)
    metrics.exchangeEnded({ ...pull, code: '503', bytesUp: 7, abortedBy: 'upstream', errorId: 'upstreamTimeout' })
    const expected = {
      wharfgate_http_requests_in_flight: 0,
      'wharfgate_http_requests_total{route="blob",method="GET",code="200"}': 1,
      'wharfgate_http_requests_total{route="blob",method="GET",code="503"}': 1,
      'wharfgate_http_request_duration_seconds_count{route="blob",method="GET"}': 2,
      'wharfgate_http_request_duration_seconds_bucket{le="0.025",route="blob",method="GET"}': 2,
      'wharfgate_http_response_bytes_total{route="blob"}': 2000,
      'wharfgate_http_request_bytes_total{route="blob"}': 7,
      'wharfgate_http_aborted_total{side="upstream"}': 1,
      'wharfgate_errors_total{id="upstreamTimeout"}': 1,
    }
    const found = await Promise.all(Object.keys(expected).map((series) => valueOf(metrics, series)))
    expect(found).toEqual(Object.values(expected))
  })

  test('are there from the start, at 0', async () => {
    const metrics = ours()
    for (const series of [
      'wharfgate_http_requests_total{route="manifest",method="PUT",code="403"}',
      'wharfgate_upstream_response_seconds_count{route="blob"}',
      'wharfgate_errors_total{id="gatewayFault"}',
      'wharfgate_auth_attempts_total{backend="htpasswd",outcome="refused"}',
      'wharfgate_tls_handshake_errors_total{reason="certificate_not_trusted"}',
      'wharfgate_upstream_refused_gateway_total',
      'wharfgate_audit_dropped_total',
      'wharfgate_audit_fault_requests_total{access="read",verdict="admitted"}',
    ]) {
      expect([series, await valueOf(metrics, series)]).toEqual([series, 0])
    }
  })

  test('belong to one gateway, not to the process', async () => {
    const [one, other] = [ours(), ours()]
    one.upstreamRetried()
    expect(await valueOf(one, 'wharfgate_upstream_retries_total')).toBe(1)
    expect(await valueOf(other, 'wharfgate_upstream_retries_total')).toBe(0)
  })

  test('tell the version that runs', async () => {
    const series = 'wharfgate_build_info{version="0.1.0",revision="abc",nodejs_version="v24.21.0"}'
    expect(await valueOf(ours(), series)).toBe(1)
  })

  test('tell the end of each certificate under both names, and forget the one before', async () => {
    const metrics = ours()
    const certificate = { name: 'registry.example.org', file: '/etc/wharfgate/tls.crt', subjectCommonName: 'old' }
    metrics.certificateLoaded({ ...certificate, notAfter: new Date(1_800_000_000_500) })
    metrics.certificateLoaded({ ...certificate, subjectCommonName: 'new', notAfter: new Date(1_900_000_000_000) })
    const lines = (await seriesOf(metrics)).filter((line) => /not_after/.test(line))
    expect(lines).toEqual([
      'wharfgate_tls_certificate_not_after_timestamp_seconds{name="registry.example.org"} 1900000000',
      'x509_cert_not_after{subject_CN="new",filename="tls.crt"} 1900000000',
    ])
  })

  test('tell of logins, passwords and connections', async () => {
    const metrics = ours()
    metrics.loginChecked('htpasswd', 'authenticated', 0.06)
    metrics.credentialCacheAsked('hit')
    metrics.passwordHashed(0.002, 0.05)
    metrics.hashTurnedAway('queueFull')
    metrics.htpasswdLoaded(12, 3)
    metrics.decided('granted', true)
    metrics.connectionOpened()
    metrics.connectionOpened()
    metrics.connectionClosed()
    metrics.connectionRefused('too_many')
    metrics.upstreamUp(true)
    metrics.upstreamResponded('manifest', 0.3)
    metrics.upstreamRefusedGateway()
    metrics.auditWritten(8)
    metrics.auditDropped(2)
    metrics.auditUp(false)
    metrics.auditFaultRequest('write', 'refused')
    const expected = {
      'wharfgate_auth_attempts_total{backend="htpasswd",outcome="authenticated"}': 1,
      'wharfgate_auth_backend_duration_seconds_sum{backend="htpasswd"}': 0.06,
      'wharfgate_auth_cache_requests_total{result="hit"}': 1,
      wharfgate_password_hash_wait_seconds_sum: 0.002,
      wharfgate_password_hash_duration_seconds_sum: 0.05,
      'wharfgate_password_hashes_refused_total{reason="queueFull"}': 1,
      wharfgate_htpasswd_users: 12,
      wharfgate_htpasswd_unusable_lines: 3,
      'wharfgate_authz_decisions_total{decision="granted"}': 1,
      wharfgate_mounts_removed_total: 1,
      wharfgate_connections: 1,
      'wharfgate_connections_refused_total{reason="too_many"}': 1,
      wharfgate_upstream_up: 1,
      'wharfgate_upstream_response_seconds_sum{route="manifest"}': 0.3,
      wharfgate_upstream_refused_gateway_total: 1,
      wharfgate_audit_events_total: 8,
      wharfgate_audit_dropped_total: 2,
      wharfgate_audit_up: 0,
      'wharfgate_audit_fault_requests_total{access="write",verdict="refused"}': 1,
    }
    const found = await Promise.all(Object.keys(expected).map((series) => valueOf(metrics, series)))
    expect(found).toEqual(Object.values(expected))
  })

  test('have the names of the contract', () => {
    const names = Object.values(definitions).map(({ name }) => name)
    expect(new Set(names).size).toBe(names.length)
    expect(names.filter((name) => !/^wharfgate_[a-z_]+$/.test(name))).toEqual(['x509_cert_not_after'])
  })

  test('include Node’s own, less those that break the naming rules', async () => {
    const { text, contentType } = await createMetrics(build).exposition()
    expect(contentType).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(text).toMatch(/^process_resident_memory_bytes /m)
    expect(text).toMatch(/^nodejs_eventloop_lag_p99_seconds /m)
    expect(removedNodeMetrics.filter((name) => text.includes(name))).toEqual([])
  })
})

describe('labels', () => {
  test('come from closed sets, whatever method and status a client brings about', async () => {
    const metrics = ours()
    const methods = [...labelValues.method].map((method) => `method="${method}"`)
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: -1, max: 1_000 }), (method, status) => {
        metrics.exchangeStarted()
        const labels = { route: routeLabel(undefined), method: methodLabel(method), code: codeLabel(status) }
        metrics.exchangeEnded({ ...pull, ...labels })
      }),
      { numRuns: 2_000 },
    )
    const requests = (await seriesOf(metrics)).filter((line) => line.startsWith('wharfgate_http_requests_total{'))
    const shape = new RegExp(
      `^wharfgate_http_requests_total\\{route="[a-z-]+",(?:${methods.join('|')}),code="(?:[1-5]\\d\\d|none|other)"\\} \\d+$`,
    )
    expect(requests.filter((line) => !shape.test(line))).toEqual([])
    expect(requests.length).toBeLessThan(300)
  })

  test.each([
    ['GET', 'GET'],
    ['get', 'OTHER'],
    ['CONNECT', 'OTHER'],
    ['', 'OTHER'],
    ['__proto__', 'OTHER'],
    ['GET"} 1\nforged 1', 'OTHER'],
  ])('method %j is %s', (method, label) => {
    expect(methodLabel(method)).toBe(label)
  })

  test.each([
    [200, '200'],
    [416, '416'],
    [299, 'other'],
    [999, 'other'],
    [undefined, 'none'],
  ])('status %j is %s', (status, label) => {
    expect(codeLabel(status)).toBe(label)
  })
})

test('docs/reference/metrics.md is what the sources say', () => {
  const file = join(import.meta.dirname, '../../../docs/reference/metrics.md')
  expect(readFileSync(file, 'utf8')).toBe(metricsReference())
})

describeWith(['promtool'], 'promtool', () => {
  test('has nothing to say about the metrics', async () => {
    const metrics = createMetrics(build)
    metrics.exchangeStarted()
    metrics.exchangeEnded(pull)
    metrics.certificateLoaded({ name: 'a', file: 'a.crt', subjectCommonName: 'a.example.org', notAfter: new Date() })
    const { text } = await metrics.exposition()
    const checked = spawnSync(part('promtool'), ['check', 'metrics'], { input: text, encoding: 'utf8' })
    const { status, stdout, stderr } = checked
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' })
  })
})
