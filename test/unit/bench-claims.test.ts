import { describe, expect, test } from '@jest/globals'
import { claims, findingsOf } from '../../bench/claims.ts'
import type { Finding } from '../../bench/claims.ts'
import type { Sample } from '../../bench/load/job.ts'
import { peers } from '../../bench/peers.ts'
import { rows } from '../../bench/rows.ts'
import type { PeerResult, RowResult } from '../../bench/suite.ts'

function measured(peer: string, medians: Sample): PeerResult {
  return { peer, note: '', kind: 'measured', version: '1', medians, ratios: {}, samples: [medians] }
}

/** A run of one row. */
function runOf(name: string, ...results: readonly PeerResult[]): readonly RowResult[] {
  return rows.filter((row) => row.name === name).map((row) => ({ row, peers: results }))
}

function find(results: readonly RowResult[], beginning: string): Finding {
  const finding = findingsOf(results).find(({ claim }) => claim.startsWith(beginning))
  if (finding === undefined) throw new Error(`no claim begins with ${beginning}`)
  return finding
}

describe('the claims', () => {
  test('are about rows, columns and fronts that there are', () => {
    for (const { row, metric, baseline } of claims) {
      const columns = rows.find(({ name }) => name === row)?.columns ?? []
      expect(columns.map((column) => column.metric)).toContain(metric)
      if (baseline !== undefined) expect(peers.map(({ name }) => name)).toContain(baseline)
    }
  })

  test.each([
    [0.8, 'held'],
    [0.81, 'not held'],
  ])('a ratio of %d to what it may be at most, 0.80, is %s', (cpuSecondsPerGigabyte, verdict) => {
    const run = runOf(
      'blob-pull',
      measured('wharfgate', { cpuSecondsPerGigabyte }),
      measured('haproxy', { cpuSecondsPerGigabyte: 1 }),
    )
    expect(find(run, "blob-pull: CPU s/GB at most 0.80 times haproxy's")).toMatchObject({
      measured: cpuSecondsPerGigabyte,
      verdict,
    })
  })

  test.each([
    [800, 'held'],
    [790, 'not held'],
  ])('%d requests/s to 20, of which it must be at least 40 times as many, are %s', (requestsPerSecond, verdict) => {
    const run = runOf(
      'manifest-get',
      measured('wharfgate', { requestsPerSecond }),
      measured('nginx', { requestsPerSecond: 20 }),
    )
    expect(find(run, "manifest-get: requests/s at least 40 times nginx's").verdict).toBe(verdict)
  })

  test.each([
    [128, 'held'],
    [129, 'not held'],
  ])('%d MiB where at most 128 are claimed, whatever the others need, are %s', (memoryGrowthMebibytes, verdict) => {
    const run = runOf('slow-pull', measured('wharfgate', { memoryGrowthMebibytes }))
    expect(find(run, 'slow-pull: growth MiB at most 128')).toMatchObject({ measured: memoryGrowthMebibytes, verdict })
  })

  const ours = measured('wharfgate', { cpuSecondsPerGigabyte: 0.6 })
  test.each<[string, readonly PeerResult[]]>([
    ['is not installed', [ours, { peer: 'haproxy', note: '', kind: 'not installed' }]],
    ['failed', [ours, { peer: 'haproxy', note: '', kind: 'failed', reason: 'a wrong body' }]],
    ['did not take part', [ours]],
    ['took no time that the clock can see', [ours, measured('haproxy', { cpuSecondsPerGigabyte: 0 })]],
  ])('are not measured where the other front %s', (_what, results) => {
    const finding = find(runOf('blob-pull', ...results), 'blob-pull: CPU s/GB at most 0.80')
    expect(finding).toMatchObject({ measured: undefined, verdict: 'not measured' })
  })

  test('are not measured where Wharfgate failed', () => {
    const failed: PeerResult = { peer: 'wharfgate', note: '', kind: 'failed', reason: 'a wrong body' }
    const run = runOf('blob-pull', failed, measured('haproxy', { cpuSecondsPerGigabyte: 1 }))
    expect(new Set(findingsOf(run).map(({ verdict }) => verdict))).toEqual(new Set(['not measured']))
  })
})
