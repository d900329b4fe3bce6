import { expect, test } from '@jest/globals'
import { part } from '../support/part.ts'
import { run } from '../support/processes.ts'
import { describeWith } from '../support/real-parts.ts'
import { startRecordingUpstream } from '../support/recording-upstream.ts'
import { startGateway } from '../support/start-gateway.ts'

/** The report of a scanner that offers every version and cipher there is, old ones included, with its colours off. */
async function scan(): Promise<string> {
  const upstream = await startRecordingUpstream()
  const gateway = await startGateway({ upstreamUrl: upstream.url })
  const options = ['--no-colour', '--show-sigs', '--sni-name=localhost']
  const { stdout } = await run(part('sslscan'), [...options, `127.0.0.1:${gateway.port}`])
  await gateway.stop()
  await upstream.close()
  return stdout
}

describeWith(['sslscan'], 'A-97: what a scanner finds', () => {
  test('is TLS 1.2 and 1.3 with forward secrecy and authenticated encryption, and none of the old weaknesses', async () => {
    const report = await scan()
    const versions = [...report.matchAll(/^((?:SSL|TLS)v[\d.]+)\s+(enabled|disabled)/gm)].map((found) => found.slice(1))
    expect(versions).toEqual([
      ['SSLv2', 'disabled'],
      ['SSLv3', 'disabled'],
      ['TLSv1.0', 'disabled'],
      ['TLSv1.1', 'disabled'],
      ['TLSv1.2', 'enabled'],
      ['TLSv1.3', 'enabled'],
    ])
    const accepted = [...report.matchAll(/^(?:Accepted|Preferred)\s+(\S+)\s+(\d+) bits\s+(\S+)/gm)].map((found) =>
      found.slice(1),
    )
    expect(accepted.length).toBeGreaterThanOrEqual(5)
    for (const [version, bits, cipher] of accepted) {
      expect(version).toMatch(/^TLSv1\.[23]$/)
      expect(Number(bits)).toBeGreaterThanOrEqual(128)
      expect(cipher).toMatch(/^(ECDHE|TLS)[-_].*(GCM|POLY1305)/)
    }
    expect(report).toMatch(/Session renegotiation not supported|Secure session renegotiation supported/)
    expect(report).not.toMatch(/Insecure session renegotiation supported/)
    expect(report).not.toMatch(/Compression enabled/)
    expect(report).not.toMatch(/(?<!not )vulnerable to heartbleed/)
    const groups = [...report.matchAll(/^TLSv1\.[23]\s+\d+ bits\s+(\S+)/gm)].map(([, group]) => group)
    expect(new Set(groups)).toEqual(new Set(['x25519', 'secp256r1', 'secp384r1']))
    expect(report).not.toMatch(/sha1WithRSA|md5/i)
  })
})
