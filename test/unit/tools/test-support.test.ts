import { execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { writeImageArchive } from '../../support/client-image.ts'
import { run, start } from '../../support/processes.ts'
import { decide, parseUnavailable } from '../../support/real-parts.ts'
import { parseAccessLog } from '../../support/real-registry.ts'
import { until } from '../../support/until.ts'

describe('decide', () => {
  const parts = { podman: { path: '/usr/bin/podman', version: '4.3.1' }, dockerd: { missing: 'it needs root' } }
  const nothingListed = new Map<string, string>()

  test('runs a suite whose parts are there', () => {
    expect(decide(['podman'], parts, nothingListed, true)).toEqual({ kind: 'run' })
  })

  test.each([
    ['on a developer machine skips', false, nothingListed, 'skip', /dockerd is missing: it needs root/],
    ['in continuous integration fails', true, nothingListed, 'fail', /dockerd is missing: it needs root/],
    [
      'with the part listed skips',
      true,
      new Map([['dockerd', 'no privileges']]),
      'skip',
      /no privileges .*unavailable/,
    ],
  ])('%s a suite with a missing part and says why', (_title, isCi, listed, kind, reason) => {
    expect(decide(['podman', 'dockerd'], parts, listed, isCi)).toEqual({ kind, reason: expect.stringMatching(reason) })
  })

  test('says how to look for parts when nobody has', () => {
    const gate = decide(['skopeo'], parts, nothingListed, true)
    expect(gate).toEqual({ kind: 'fail', reason: expect.stringContaining('provide-parts.ts') })
  })
})

test('parseUnavailable reads the rows and neither the head nor the prose', () => {
  const markdown = '# Parts\n\n| part | reason |\n| ---- | ------ |\n| dockerd | no privileges |\n| `ctr` | none |\n'
  expect([...parseUnavailable(markdown)]).toEqual([
    ['dockerd', 'no privileges'],
    ['ctr', 'none'],
  ])
})

test('parseAccessLog picks the requests out of the other lines', () => {
  const log = [
    'time="2026-01-01T00:00:00Z" level=info msg="listening on 127.0.0.1:5000"',
    '127.0.0.1 - - [01/Jan/2026:00:00:00 +0000] "GET /v2/a/manifests/1 HTTP/1.1" 404 86 "" "docker/28"',
  ]
  expect(parseAccessLog(log.join('\n'))).toEqual([
    {
      address: '127.0.0.1',
      method: 'GET',
      target: '/v2/a/manifests/1',
      status: 404,
      bytes: 86,
      userAgent: 'docker/28',
    },
  ])
})

describe('writeImageArchive', () => {
  let directory: string
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'wharfgate-image-'))
  })
  afterEach(() => {
    rmSync(directory, { recursive: true, force: true })
  })

  test('writes an archive that tar reads, with the digests that its configuration names', () => {
    const archive = join(directory, 'image.tar')
    writeImageArchive(archive, 'registry.test/alice/app:1', [{ name: 'file', content: 'x'.repeat(600) }])
    execFileSync('tar', ['-xf', archive, '-C', directory])
    const read = (name: string) => readFileSync(join(directory, name))
    const [manifest] = JSON.parse(read('manifest.json').toString()) as {
      Config: string
      RepoTags: string[]
      Layers: string[]
    }[]
    const layer = read(manifest?.Layers[0] ?? '')
    const configuration = JSON.parse(read(manifest?.Config ?? '').toString()) as { rootfs: { diff_ids: string[] } }
    expect(manifest?.RepoTags).toEqual(['registry.test/alice/app:1'])
    expect(configuration.rootfs.diff_ids).toEqual([`sha256:${createHash('sha256').update(layer).digest('hex')}`])
    expect(execFileSync('tar', ['-xOf', '-', 'file'], { input: layer }).toString()).toBe('x'.repeat(600))
  })
})

describe('processes', () => {
  test('run gives input, code and both outputs', async () => {
    const result = await run('sh', ['-c', 'cat; echo problem >&2; exit 3'], { input: 'given' })
    expect(result).toEqual({ code: 3, stdout: 'given', stderr: 'problem\n' })
  })

  test('run of a command that does not exist is a result', async () => {
    expect((await run('/nonexistent/command', [])).code).not.toBe(0)
  })

  test('run kills what passes its deadline and says so', async () => {
    const result = await run('sleep', ['60'], { timeoutMs: 100 })
    expect(result).toMatchObject({ code: 137, stderr: expect.stringContaining('killed after 100 ms') })
  })

  test('stop ends a process that ignores SIGTERM', async () => {
    const running = start('sh', ['-c', 'trap "" TERM; echo ready; while :; do sleep 0.1; done'])
    await until(() => running.stdout().includes('ready'), { what: 'the process is ready' })
    expect((await running.stop({ graceMs: 100 })).code).toBe(137)
  })

  const onLinux = process.platform === 'linux' ? test : test.skip
  onLinux('a started process ends with a test process that is killed', async () => {
    const module = join(import.meta.dirname, '..', '..', 'support', 'processes.ts')
    const script = `import { start } from ${JSON.stringify(module)}; console.log(start('sleep', ['60']).pid)`
    const parent = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line] = (await once(parent.stdout, 'data')) as [Buffer]
    const pid = Number(line.toString())
    expect(stateOf(pid)).toMatch(/^[A-Y]$/)
    parent.kill('SIGKILL')
    await until(() => /^Z?$/.test(stateOf(pid)), { what: 'the process has ended' })
  })
})

/** The state letter of a process, Z when it ended and nobody has taken note yet, empty when it is gone. */
function stateOf(pid: number): string {
  try {
    return readFileSync(`/proc/${String(pid)}/stat`, 'utf8').split(') ')[1]?.[0] ?? ''
  } catch {
    return ''
  }
}

describe('until', () => {
  test('gives the first value that is there, past errors', async () => {
    let calls = 0
    const probe = () => {
      calls += 1
      if (calls === 1) throw new Error('not yet')
      return calls === 3 && 'value'
    }
    expect(await until(probe, { what: 'a value', intervalMs: 1 })).toBe('value')
  })

  test('names what it waited for, with the last error as the cause', async () => {
    const cause = new Error('refused')
    const failing = until(() => Promise.reject(cause), { what: 'the server answers', deadlineMs: 5, intervalMs: 1 })
    await expect(failing).rejects.toMatchObject({ message: 'not within 5 ms: the server answers', cause })
  })
})
