import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from '@jest/globals'
import { certsCommand } from '../../../src/cli/certs.ts'

const scratch = mkdtempSync(join(tmpdir(), 'wharfgate-certs-command-'))
afterAll(() => {
  rmSync(scratch, { recursive: true })
})

async function certs(...args: readonly string[]) {
  let stdout = ''
  let stderr = ''
  const terminal = {
    stdout: { write: (text: string) => (stdout += text) },
    stderr: { write: (text: string) => (stderr += text) },
    exitCode: undefined as number | undefined,
  }
  await certsCommand(terminal).parseAsync(args, { from: 'user' })
  return { stdout, stderr, exitCode: terminal.exitCode }
}

describe('wharfgate certs init', () => {
  test('tells what was made and what to copy where', async () => {
    const directory = join(scratch, 'made')
    const { stdout, stderr, exitCode } = await certs(
      'init',
      '--directory',
      directory,
      '--host',
      'Registry.example.org',
      '192.0.2.10',
      '--days',
      '90',
      '--port',
      '443',
    )
    expect({ stderr, exitCode }).toEqual({ stderr: '', exitCode: undefined })
    expect(stdout).toMatch(
      new RegExp(
        [
          `^${directory}/ca\\.crt \\(key: ca\\.key\\): made`,
          ' {2}Wharfgate local CA [0-9a-f]{8}, can vouch only for registry\\.example\\.org, 192\\.0\\.2\\.10',
          ' {2}expires \\d{4}-\\d{2}-\\d{2}',
          ' {2}SHA-256 (?:[0-9A-F]{2}:){31}[0-9A-F]{2}',
          `${directory}/tls\\.crt \\(key: tls\\.key\\): made`,
          ' {2}for registry\\.example\\.org, 192\\.0\\.2\\.10',
        ].join('\n'),
      ),
    )
    expect(stdout).toContain(`tls:\n  certificateFile: ${directory}/tls.crt\n  keyFile: ${directory}/tls.key\n`)
    expect(stdout).toContain(`${directory}/ca.crt /etc/docker/certs.d/registry.example.org/ca.crt\n`)
    expect(stdout).not.toContain('PRIVATE KEY')
  })

  test('says what it kept and what it replaced', async () => {
    const directory = join(scratch, 'kept')
    const init = (...more: string[]) => certs('init', '--directory', directory, '--host', 'localhost', ...more)
    await init()
    expect((await init()).stdout).toMatch(
      /ca\.key\): kept, so that clients go on trusting it\n[^]*tls\.key\): kept, it will do \(--force replaces it\)/,
    )
    expect((await init('--force')).stdout).toMatch(/tls\.key\): replaced, because --force was given/)
    expect((await init('--algorithm', 'rsa')).stdout).toMatch(/replaced, because its key was of another algorithm/)
    expect((await init('--host', 'a.localhost')).stdout).toMatch(/replaced, because it was for localhost\n/)
  })

  test.each([
    [['--host', 'https://registry.example.org'], /--host "https:\/\/registry\.example\.org" has a scheme; /],
    [['--host', 'localhost', '--days', '826'], /--days "826" is not a whole number from 1 to 825; /],
    [['--host', 'localhost', '--days', 'ten'], /--days "ten" is not a whole number from 1 to 825; /],
    [['--host', 'localhost', '--port', '0'], /--port "0" is not a whole number from 1 to 65535; /],
    [['--host', 'localhost', '--port', '65536'], /--port "65536" is not/],
  ])('%j is one sentence on stderr and exit code 1', async (args, sentence) => {
    const answer = await certs('init', '--directory', join(scratch, 'refused'), ...args)
    expect(answer).toMatchObject({ stdout: '', exitCode: 1 })
    expect(answer.stderr).toMatch(new RegExp(`^wharfgate: ${sentence.source}.*\n$`))
    expect(readdirSync(scratch)).not.toContain('refused')
  })
})
