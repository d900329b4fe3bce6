import { createServer } from 'node:https'
import type { Server } from 'node:https'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { bodyChunks, bodyDigest } from '../../bench/body.ts'
import { pull } from '../../bench/load/pull.ts'
import type { ReportDocument } from '../../bench/report.ts'
import { median, percentile } from '../../bench/statistics.ts'
import { initCertificates } from '../../src/cli/certificate-files.ts'
import { run, start } from '../support/processes.ts'
import type { RunResult } from '../support/processes.ts'
import { describeWith } from '../support/real-parts.ts'
import { until } from '../support/until.ts'

const main = join(import.meta.dirname, '..', '..', 'bench', 'main.ts')

let directory: string

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'wharfgate-test-'))
})

afterAll(() => {
  rmSync(directory, { recursive: true, force: true })
})

/** Its own temporary directory, so that what it leaves behind is seen. */
function environmentIn(name: string): NodeJS.ProcessEnv {
  const temporary = join(directory, name)
  mkdirSync(temporary)
  return { ...process.env, TMPDIR: temporary, WHARFGATE_CALLED_FROM: directory }
}

/** Processes that were started with a path in the given directory. */
function processesOf(path: string): readonly string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return [readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')]
      } catch {
        return []
      }
    })
    .filter((command) => command.includes(path))
}

describeWith(['docker-registry'], 'a quick run of the benchmark', () => {
  let result: RunResult
  let document: ReportDocument

  beforeAll(async () => {
    const env = environmentIn('quick')
    result = await run(process.execPath, [main, '--quick', '--json', 'quick.json'], { env, timeoutMs: 110_000 })
    if (result.code !== 0) throw new Error(`${result.stdout}${result.stderr}`)
    document = JSON.parse(readFileSync(join(directory, 'quick.json'), 'utf8')) as ReportDocument
  }, 120_000)

  test('has every row with every front', () => {
    const fronts = ['wharfgate', 'node-pipe', 'registry', 'nginx', 'nginx-unbuffered', 'haproxy']
    expect(document.rows.map(({ name, peers }) => [name, peers.map(({ peer }) => peer)])).toEqual([
      ['blob-pull', fronts],
      ['blob-push', fronts],
      ['manifest-get', fronts],
    ])
    for (const { name } of document.rows) expect(result.stdout).toContain(`(${name})`)
    for (const front of fronts) expect(result.stdout.match(new RegExp(`^\\| ${front} `, 'gm'))).toHaveLength(3)
  })

  test('measures every front that is installed, and says of the others that they are not', () => {
    for (const { metrics, peers } of document.rows) {
      for (const result of peers) {
        const isOurs = ['wharfgate', 'node-pipe', 'registry'].includes(result.peer)
        expect([result.peer, result.kind]).toEqual([
          result.peer,
          isOurs ? 'measured' : expect.stringMatching(/^(measured|not installed)$/),
        ])
        if (result.kind !== 'measured') continue
        expect(Object.keys(result.medians)).toEqual(Object.keys(metrics))
        expect(result.medians.megabytesPerSecond ?? result.medians.requestsPerSecond).toBeGreaterThan(0)
        expect(result.medians.peakResidentMegabytes).toBeGreaterThan(1)
      }
    }
  })

  test('looked at the body of every front', () => {
    const checked = [...result.stderr.matchAll(/^bench: (\S+) (\S+) warm-up: .*, body right$/gm)]
    const measured = document.rows.flatMap(({ name, peers }) =>
      peers.filter(({ kind }) => kind === 'measured').map(({ peer }) => `${name} ${peer}`),
    )
    expect(checked.map(([, row = '', front = '']) => `${row} ${front}`)).toEqual(measured)
  })

  test('leaves no file and no process behind', () => {
    expect(readdirSync(join(directory, 'quick'))).toEqual([])
    expect(processesOf(join(directory, 'quick'))).toEqual([])
  })

  test('ends every process and removes every file when it is broken off', async () => {
    const env = environmentIn('broken-off')
    const bench = start(process.execPath, [main, '--quick', '--rounds', '9999', '--only', 'blob-pull'], { env })
    await until(() => bench.stderr().includes('wharfgate 2/9999'), { what: 'rounds run', deadlineMs: 60_000 })
    expect(processesOf(join(directory, 'broken-off'))).not.toEqual([])
    bench.kill('SIGINT')
    expect((await bench.ended).code).toBe(130)
    expect(readdirSync(join(directory, 'broken-off'))).toEqual([])
    expect(processesOf(join(directory, 'broken-off'))).toEqual([])
  }, 120_000)
})

describe('the command line of the benchmark', () => {
  test.each([
    [['--only', 'blob-pul'], '--only knows no "blob-pul"'],
    [['--size', '1 GB'], '--size "1 GB" is not'],
    [['--rounds', '0'], '--rounds "0" is not'],
    [['--baseline', 'apache'], '--baseline knows no "apache"'],
    [['--fast'], "Unknown option '--fast'"],
  ])('refuses %j and shows the usage', async (words, message) => {
    const { code, stderr } = await run(process.execPath, [main, ...words])
    expect([code, stderr]).toEqual([2, expect.stringContaining(message)])
    expect(stderr).toContain('--rounds N')
  })
})

describe('the load generator', () => {
  const bytes = 3_000_000
  const right = Buffer.concat([...bodyChunks(bytes)])
  let paths: Awaited<ReturnType<typeof initCertificates>>['paths']
  let server: Server | undefined

  beforeAll(async () => {
    const certificates = await initCertificates({ directory: join(directory, 'certs'), hosts: ['localhost'] })
    paths = certificates.paths
  })

  afterEach(() => {
    server?.closeAllConnections()
    server?.close()
  })

  /** Pulls what a server of our own serves as the blob. */
  async function pullOf(body: Buffer, length = body.length, digest = bodyDigest(bytes)): Promise<number> {
    const options = { cert: readFileSync(paths.certificate), key: readFileSync(paths.key) }
    const listening = createServer(options, (_request, response) => {
      response.writeHead(200, { 'content-length': length })
      response.write(body, () => {
        if (length === body.length) response.end()
        else response.destroy()
      })
    })
    server = listening
    await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve))
    const { port } = listening.address() as AddressInfo
    const ca = readFileSync(paths.authorityCertificate, 'utf8')
    return pull({ target: { port, ca, authorization: 'Basic Og==', pid: process.pid }, path: '/blob', bytes, digest })
  }

  test('takes the right body', async () => {
    expect(await pullOf(right)).toBeGreaterThan(0)
  })

  test('refuses a body with one wrong byte', async () => {
    const wrong = Buffer.from(right)
    wrong.writeUInt8(wrong.readUInt8(2_500_000) ^ 1, 2_500_000)
    await expect(pullOf(wrong)).rejects.toThrow(/the body is wrong behind byte 2[45]\d{5}/)
  })

  test('refuses a body whose buffers are swapped', async () => {
    const [first, second] = [right.subarray(0, 65_536), right.subarray(65_536, 131_072)]
    await expect(pullOf(Buffer.concat([second, first, right.subarray(131_072)]))).rejects.toThrow('the body is wrong')
  })

  test('refuses a body that ends early', async () => {
    await expect(pullOf(right.subarray(0, 2_000_000), bytes)).rejects.toThrow('before the body was complete')
  })

  test('refuses a body that is announced longer than it is', async () => {
    await expect(pullOf(Buffer.concat([right, right]))).rejects.toThrow('Content-Length 6000000, not 3000000')
  })

  test('hashes the body where it is given a digest', async () => {
    await expect(pullOf(right, bytes, bodyDigest(bytes - 1))).rejects.toThrow('has not the digest sha256:')
  })
})

describe('statistics', () => {
  test.each([
    [[3, 1, 2], 2],
    [[4, 1, 3, 2], 2.5],
    [[7], 7],
    [[], Number.NaN],
  ])('the median of %j is %d', (values, expected) => {
    expect(median(values)).toBe(expected)
  })

  test.each([
    [50, 50],
    [99, 99],
    [100, 100],
    [0, 1],
  ])('percentile %d of 1 to 100 is %d', (percent, expected) => {
    expect(
      percentile(
        Array.from({ length: 100 }, (_value, index) => 100 - index),
        percent,
      ),
    ).toBe(expected)
  })
})
