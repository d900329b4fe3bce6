import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { issueLeaf, makeAuthority } from '../../src/cli/certificate-authority.ts'
import type { CertificateAndKey } from '../../src/cli/certificate-authority.ts'
import { parseCertificateHosts } from '../../src/cli/certificate-host.ts'
import { startFaultUpstream } from '../support/fault-upstream.ts'
import { startGateway } from '../support/start-gateway.ts'

const now = { now: new Date(), randomBytes }
const longAgo = { now: new Date(Date.now() - 30 * 86_400_000), randomBytes }

async function leaf(authority: CertificateAndKey, host: string, days: number, when = now): Promise<CertificateAndKey> {
  return issueLeaf(authority, { hosts: parseCertificateHosts([host]), algorithm: 'ec', days }, when)
}

describe('F-19: an https upstream', () => {
  let directory: string
  let authority: CertificateAndKey

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'wharfgate-upstream-tls-'))
    authority = await makeAuthority(parseCertificateHosts(['localhost', 'other.test']), longAgo)
    writeFileSync(join(directory, 'ca.crt'), authority.certificatePem)
  })
  afterAll(() => {
    rmSync(directory, { recursive: true, force: true })
  })

  /** Asks a gateway in front of an upstream with this certificate for the same blob several times. */
  async function ask(
    certificate: CertificateAndKey,
    trust: { readonly caFile?: string },
  ): Promise<{ readonly statuses: readonly number[]; readonly errorIds: readonly unknown[]; readonly asked: number }> {
    const upstream = await startFaultUpstream({ cert: certificate.certificatePem, key: certificate.keyPem })
    const gateway = await startGateway({ upstreamUrl: upstream.url, settings: { upstream: trust } })
    try {
      const statuses: number[] = []
      const errorIds: unknown[] = []
      // More than once: a session that is resumed must not skip the check.
      for (let round = 0; round < 3; round += 1) {
        const answer = await gateway.as('alice', { path: `/v2/alice/app/blobs/sha256:${'a'.repeat(64)}` })
        statuses.push(answer.status)
        errorIds.push((await gateway.auditLineOf(String(answer.headers['x-request-id'])))['errorId'])
      }
      return { statuses, errorIds, asked: upstream.requests.length }
    } finally {
      await gateway.stop()
      await upstream.close()
    }
  }

  const failed = 'upstreamTlsFailed'

  test('that the configured authority vouches for is used', async () => {
    const caFile = join(directory, 'ca.crt')
    expect(await ask(await leaf(authority, 'localhost', 60), { caFile })).toEqual({
      statuses: [200, 200, 200],
      errorIds: [null, null, null],
      asked: 3,
    })
  })

  test.each([
    ['of an authority that nobody configured', 'localhost', 60, now, false],
    ['for another name', 'other.test', 60, now, true],
    ['that has expired', 'localhost', 10, longAgo, true],
  ])('with a certificate %s is 502 and is asked nothing', async (_title, host, days, when, isTrusted) => {
    const trust = isTrusted ? { caFile: join(directory, 'ca.crt') } : {}
    expect(await ask(await leaf(authority, host, days, when), trust)).toEqual({
      statuses: [502, 502, 502],
      errorIds: [failed, failed, failed],
      asked: 0,
    })
  })
})
