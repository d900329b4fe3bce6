import { createServer } from 'node:https'
import type { RequestListener } from 'node:http'
import type { Server, ServerOptions } from 'node:https'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { bodyChunks, bodyDigest } from '../../bench/body.ts'
import { atMost, figuresText } from '../../bench/figures.ts'
import { decisions } from '../../bench/load/decisions.ts'
import { limits } from '../../bench/load/limits.ts'
import { pull } from '../../bench/load/pull.ts'
import { handshakes } from '../../bench/load/handshakes.ts'
import type { Target } from '../../bench/load/job.ts'
import { slowPull } from '../../bench/load/slow-pull.ts'
import { UsageError, parseOptions } from '../../bench/options.ts'
import type { ReportDocument } from '../../bench/report.ts'
import { soakRows } from '../../bench/soak-rows.ts'
import { median, percentile } from '../../bench/statistics.ts'
import { startSteadyLoad, statusText } from '../../bench/steady-load.ts'
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

/** Its own temporary directory, so that what it leaves behind is seen. Dozens of processes share what they compile. */
function environmentIn(name: string): NodeJS.ProcessEnv {
  const temporary = join(directory, name)
  mkdirSync(temporary)
  const compileCache = join(directory, 'compiled')
  return { ...process.env, NODE_COMPILE_CACHE: compileCache, TMPDIR: temporary, WHARFGATE_CALLED_FROM: directory }
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
  // The one that is left out is nginx with one setting changed.
  const fronts = ['wharfgate', 'node-pipe', 'registry', 'nginx', 'haproxy']
  let result: RunResult
  let document: ReportDocument

  beforeAll(async () => {
    const env = environmentIn('quick')
    const words = ['--quick', '--json', 'quick.json', '--peers', fronts.join(',')]
    result = await run(process.execPath, [main, ...words], { env, timeoutMs: 590_000 })
    if (result.code !== 0) throw new Error(`${result.stdout}${result.stderr}`)
    document = JSON.parse(readFileSync(join(directory, 'quick.json'), 'utf8')) as ReportDocument
  }, 600_000)

  test('has every row with every front that takes part in it', () => {
    expect(document.rows.map(({ name, peers }) => [name, peers.map(({ peer }) => peer)])).toEqual([
      ['blob-pull', fronts],
      ['blob-push', fronts],
      ['manifest-get', fronts],
      ['slow-pull', fronts],
      ['tls-connections', fronts],
      ['policy-decision', ['wharfgate']],
      ['limits-decision', ['wharfgate']],
    ])
    for (const { name, peers } of document.rows) {
      const [, table = ''] = result.stdout.split(`(${name})\n\n`)
      const [, , ...lines] = (table.split('\n\n')[0] ?? '').split('\n')
      expect(lines.map((line) => line.split(' ')[1])).toEqual(peers.map(({ peer }) => peer))
    }
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
        const { medians } = result
        const rates = [medians.megabytesPerSecond, medians.requestsPerSecond, medians.handshakesPerSecond]
        expect(rates.find((rate) => rate !== undefined) ?? 1).toBeGreaterThan(0)
        expect(medians.peakResidentMebibytes ?? 2).toBeGreaterThan(1)
        expect(medians.microsecondsOneSubject ?? 1).toBeGreaterThan(0)
        expect(medians.memoryGrowthMebibytes ?? 0).toBeGreaterThanOrEqual(0)
        // A yardstick is as good as itself, unless no tick of the clock fell on it.
        const own = Object.values(result.ratios[result.peer] ?? {})
        expect(own).toEqual(own.map(() => 1))
      }
    }
  })

  test('says of a front that is not installed that it is left out, and its claims are not measured', () => {
    const [{ peers = [] } = {}] = document.rows
    for (const { peer, kind } of peers) {
      expect(result.stderr.includes(`bench: ${peer} is not installed: left out`)).toBe(kind === 'not installed')
      if (kind !== 'not installed') continue
      const claims = document.claims.filter(({ baseline }) => baseline === peer)
      expect(claims.map(({ verdict }) => verdict)).toEqual(claims.map(() => 'not measured'))
    }
  })

  test('ends with the claims', () => {
    expect(document.claims.length).toBeGreaterThan(10)
    const [, claims = ''] = result.stdout.split('The claims (this run is too small for them)')
    for (const { claim, verdict } of document.claims) {
      expect(claims).toMatch(new RegExp(`^\\| ${claim} +\\| .* ${verdict} \\|$`, 'm'))
    }
  })

  test('looked at the answers of every front', () => {
    const checked = [...result.stderr.matchAll(/^bench: (\S+) (\S+) warm-up: .*, answers right$/gm)]
    // Decisions are looked at while they are measured.
    const ofFronts = document.rows.filter(({ name }) => !name.endsWith('-decision'))
    const measured = ofFronts.flatMap(({ name, peers }) =>
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
    const words = ['--quick', '--rounds', '9999', '--only', 'blob-pull', '--peers', 'wharfgate']
    const bench = start(process.execPath, [main, ...words], { env })
    await until(() => bench.stderr().includes('wharfgate 2/9999'), { what: 'rounds run', deadlineMs: 240_000 })
    expect(processesOf(join(directory, 'broken-off'))).not.toEqual([])
    bench.kill('SIGINT')
    expect((await bench.ended).code).toBe(130)
    expect(readdirSync(join(directory, 'broken-off'))).toEqual([])
    expect(processesOf(join(directory, 'broken-off'))).toEqual([])
  }, 300_000)
})

describe('the command line of the benchmark', () => {
  test.each([
    [['--only', 'blob-pul'], '--only knows no "blob-pul"'],
    [['--size', '1 GB'], '--size "1 GB" is not'],
    [['--rounds', '0'], '--rounds "0" is not'],
    [['--baseline', 'apache'], '--baseline knows no "apache"'],
    [['--fast'], "Unknown option '--fast'"],
  ])('refuses %j', (words, message) => {
    expect(() => parseOptions(words)).toThrow(UsageError)
    expect(() => parseOptions(words)).toThrow(message)
  })

  test('shows the usage with what it refuses', async () => {
    const { code, stderr } = await run(process.execPath, [main, '--rounds', '0'], { timeoutMs: 110_000 })
    expect([code, stderr]).toEqual([2, expect.stringContaining('--rounds "0" is not')])
    expect(stderr).toContain('--rounds N')
  }, 120_000)
})

describe('decisions', () => {
  test('are right in every mix, and take time', () => {
    const times = Object.values(decisions({ kind: 'decisions', rules: 20, windowMs: 1 }))
    expect(times).toHaveLength(4)
    for (const microseconds of times) expect(microseconds).toBeGreaterThan(0)
  })
})

test('decisions of limits are right, and take time in memory where there is no Redis', async () => {
  const times = await limits({ kind: 'limits', identities: 3, windowMs: 1 })
  expect(Object.keys(times)).toEqual(['cpuMicrosecondsInMemory', 'cpuMicrosecondsPullInMemory'])
  for (const microseconds of Object.values(times)) expect(microseconds).toBeGreaterThan(0)
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

  /** A server of our own in the place of a front. */
  async function serve(answer: RequestListener, options: ServerOptions = {}): Promise<Target> {
    const pair = { cert: readFileSync(paths.certificate), key: readFileSync(paths.key) }
    const listening = createServer({ ...pair, ...options }, answer)
    server = listening
    await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve))
    const { port } = listening.address() as AddressInfo
    const ca = readFileSync(paths.authorityCertificate, 'utf8')
    return { port, ca, authorization: 'Basic Og==', pid: process.pid }
  }

  /** Serves a body, or its beginning. */
  function serveBody(body: Buffer, length = body.length): Promise<Target> {
    return serve((_request, response) => {
      response.writeHead(200, { 'content-length': length })
      response.write(body, () => {
        if (length === body.length) response.end()
        else response.destroy()
      })
    })
  }

  /** Pulls what a server of our own serves as the blob. */
  async function pullOf(body: Buffer, length = body.length, digest = bodyDigest(bytes)): Promise<number> {
    return pull({ target: await serveBody(body, length), path: '/blob', bytes, digest })
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

  describe('with slow clients', () => {
    const slow = { path: '/blob', bytes, clients: 3, bytesPerSecond: 200_000, windowMs: 1_000 }

    test('reads no faster than it was told to', async () => {
      const { slowestBytesPerSecond } = await slowPull({ ...slow, target: await serveBody(right) }, [process.pid])
      expect(slowestBytesPerSecond).toBeGreaterThan(0)
      // What the kernel has is read in pieces of 64 KiB.
      expect(slowestBytesPerSecond).toBeLessThan(600_000)
    })

    test('refuses a body with one wrong byte', async () => {
      const wrong = Buffer.from(right)
      wrong.writeUInt8(wrong.readUInt8(5_000) ^ 1, 5_000)
      const target = await serveBody(wrong)
      await expect(slowPull({ ...slow, target }, [process.pid])).rejects.toThrow('the body is wrong')
    })

    test('refuses a body that ends while it is read', async () => {
      const target = await serveBody(right.subarray(0, 30_000), bytes)
      await expect(slowPull({ ...slow, target }, [process.pid])).rejects.toThrow('closed the connection')
    })

    test('refuses clients that are starved', async () => {
      const target = await serve((_request, response) => {
        response.writeHead(200, { 'content-length': bytes })
        response.write(right.subarray(0, 10))
      })
      await expect(slowPull({ ...slow, target }, [process.pid])).rejects.toThrow('got nothing at all while it waited')
    })
  })

  describe('with handshakes', () => {
    const job = { connections: 2, warmUpMs: 0, windowMs: 100 }

    test('makes full ones, and counts those of the window alone', async () => {
      const target = await serve(() => undefined)
      let accepted = 0
      let resumed = 0
      server?.on('secureConnection', (socket: TLSSocket) => {
        accepted += 1
        if (socket.isSessionReused()) resumed += 1
      })
      let before = 0
      const { count, seconds } = await handshakes({ ...job, target }, () => {
        before = accepted
      })
      expect([before >= job.connections, count, resumed]).toEqual([true, accepted - before, 0])
      expect(count).toBeGreaterThanOrEqual(job.connections)
      expect(seconds).toBeGreaterThan(0)
    })

    test.each<[string, ServerOptions]>([
      ['another version', { maxVersion: 'TLSv1.2' }],
      ['another cipher', { ciphers: 'TLS_CHACHA20_POLY1305_SHA256' }],
    ])('fails at a front that knows only %s', async (_what, options) => {
      const target = await serve(() => undefined, options)
      await expect(handshakes({ ...job, target }, () => undefined)).rejects.toThrow(/alert|version|handshake/)
    })
  })
})

describe('figures of the soak', () => {
  test.each([
    [50, true],
    [50.01, false],
    [Number.NaN, false],
  ])('of at most 50, %d holds: %j', (measured, held) => {
    expect(atMost('added', measured, 50, 'ms').held).toBe(held)
  })

  test('are all told when one of them does not hold', () => {
    const right = atMost('added', 1, 50, 'ms', 1)
    const wrong = { what: 'statuses', held: false, measured: '500 1', asked: '200 alone' }
    const told = { what: 'before', measured: 'p50 1 ms' }
    expect(figuresText([right, told])).toBe(
      '\n  held   added: 1.0 ms (asked: at most 50 ms)\n         before: p50 1 ms',
    )
    expect(() => figuresText([right, wrong, told])).toThrow(
      'added: 1.0 ms (asked: at most 50 ms)\n  FAILED statuses: 500 1 (asked: 200 alone)\n         before: p50 1 ms',
    )
  })

  test('count statuses, broken connections as 0', () => {
    const answer = { retryAfterSeconds: undefined, sentMs: 0, tookMs: 1 }
    const answers = [200, 0, 200].map((status) => ({ ...answer, status }))
    expect(statusText(answers)).toBe('0 1, 200 2')
  })
})

test('the load of the soak does not wait for answers, and its end waits for them', async () => {
  const { promise: released, resolve: release } = Promise.withResolvers<undefined>()
  const load = startSteadyLoad(1_000, async () => {
    await released
    return { status: 200, retryAfterSeconds: undefined, sentMs: 0, tookMs: 1 }
  })
  await until(() => load.mostUnderWay() > 20, { what: 'requests are sent' })
  expect(load.answers).toEqual([])
  const stopped = load.stop()
  release(undefined)
  expect(await stopped).toHaveLength(load.mostUnderWay())
})

test('the soak has rows for limits and logins', () => {
  const names = soakRows.map(({ name }) => name)
  expect(names).toEqual(expect.arrayContaining(['throttle', 'store-faults', 'login-flood']))
  expect(new Set(names).size).toBe(names.length)
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
