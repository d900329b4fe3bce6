import { createHash } from 'node:crypto'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import { createClientHome } from '../support/client.ts'
import type { ClientHome } from '../support/client.ts'
import { createContainersHome, storageFlags } from '../support/client-containers.ts'
import { startDockerEngine } from '../support/docker-engine.ts'
import { part } from '../support/part.ts'
import { run, start } from '../support/processes.ts'
import type { RunningProcess, RunResult } from '../support/processes.ts'
import { describeWith } from '../support/real-parts.ts'
import { until } from '../support/until.ts'

const script = join(import.meta.dirname, '..', '..', 'tools', 'quickstart.ts')

/** What a started quickstart printed; `lines` by the beginning of their heading. */
type Quickstart = {
  readonly program: RunningProcess
  readonly printed: string
  readonly registryUrl: string
  readonly lines: (heading: string) => readonly string[]
}

let directory: string
let port: number
const running = new Set<RunningProcess>()

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'wharfgate-quickstart-'))
  port = await listenOnce(0)
})
afterEach(async () => {
  for (const program of running) await program.stop()
  running.clear()
})
afterAll(() => {
  rmSync(directory, { recursive: true, force: true })
})

describeWith(['docker-registry'], 'the quickstart', () => {
  describeWith(['docker', 'dockerd'], 'prints lines for docker', () => {
    test('that log in, build, push and pull when pasted, as does the line for curl', async () => {
      const engine = await startDockerEngine()
      const home = createClientHome('docker', engine.place)
      try {
        const { lines } = await startQuickstart()
        const result = await paste([...lines('Log in'), ...lines('Push and pull'), ...lines('Ask it yourself')], {
          ...home,
          env: { ...home.env, DOCKER_HOST: engine.host, PATH: pathWith(dirname(part('docker'))) },
        })
        expect(failureOf(result)).toBeUndefined()
        expect(result.stdout).toMatch(/Login Succeeded[^]*digest: sha256:[^]*Image is up to date/)
        expect(result.stdout).toContain('{"repositories":["demo/hello"]}')
      } finally {
        home.remove()
        await engine.stop()
      }
    })
  })

  describeWith(['podman'], 'prints lines for podman', () => {
    test('that do the same once the certificate is trusted as printed', async () => {
      const home = createContainersHome('podman', {})
      const programs = join(home.directory, 'programs')
      mkdirSync(programs)
      writeFileSync(
        join(programs, 'podman'),
        `#!/bin/sh\nexec ${[part('podman'), ...storageFlags(home)].join(' ')} "$@"\n`,
      )
      chmodSync(join(programs, 'podman'), 0o755)
      const inHome = { ...home, env: { ...home.env, PATH: pathWith(programs) } }
      try {
        const { lines } = await startQuickstart()
        const podman = (heading: string) => lines(heading).map((line) => line.replace(/^ *docker /, 'podman '))
        const stranger = await paste(podman('Log in'), inHome)
        expect(stranger).toMatchObject({ stderr: expect.stringContaining('x509') })
        const result = await paste([...podman('Trust'), ...podman('Log in'), ...podman('Push and pull')], inHome)
        expect(failureOf(result)).toBeUndefined()
        expect(result.stdout).toContain('Login Succeeded')
      } finally {
        home.remove()
      }
    })
  })

  test('ends on Ctrl-C with all it started, and takes up user, certificate and images at its next start', async () => {
    const first = await startQuickstart()
    const certificate = readFileSync(join(directory, 'state', 'certs', 'tls.crt'), 'utf8')
    await putBlob(first.registryUrl, 'demo/kept')
    first.program.kill('SIGINT')
    expect(failureOf(await first.program.ended)).toBeUndefined()
    await expect(fetch(first.registryUrl)).rejects.toThrow('fetch failed')
    expect(await listenOnce(port)).toBe(port)

    const second = await startQuickstart()
    const ofUser = (text: string) => /user \w+, password \S+/.exec(text)?.[0]
    expect(ofUser(second.printed)).toBe(ofUser(first.printed))
    expect(readFileSync(join(directory, 'state', 'certs', 'tls.crt'), 'utf8')).toBe(certificate)
    const asked = await paste(second.lines('Ask it yourself'))
    expect(JSON.parse(asked.stdout)).toMatchObject({ repositories: expect.arrayContaining(['demo/kept']) })
  })

  test('takes its registry along even when it is killed', async () => {
    const { program, registryUrl } = await startQuickstart()
    expect((await fetch(`${registryUrl}/v2/`)).status).toBe(200)
    program.kill('SIGKILL')
    const isGone = () =>
      fetch(registryUrl).then(
        () => false,
        () => true,
      )
    await until(isGone, { what: 'the registry has ended' })
  })

  test('says that its port is taken, and how to name another', async () => {
    const holder = createServer().listen(port, '127.0.0.1')
    const { code, stdout, stderr } = await launch().ended
    holder.close()
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toContain(
      `quickstart: cannot listen on 127.0.0.1 port ${String(port)}: another program listens there`,
    )
    expect(stderr).toContain('npm run quickstart -- --port')
  })
})

/** As `npm run quickstart` starts it: somewhere else than where its user stands. */
function launch(): RunningProcess {
  const env = {
    PATH: pathWith(dirname(part('docker-registry'))),
    HOME: directory,
    WHARFGATE_CALLED_FROM: directory,
  }
  const launched = start(process.execPath, [script, '--port', String(port), '--state', 'state'], { env })
  running.add(launched)
  return launched
}

async function startQuickstart(): Promise<Quickstart> {
  const launched = launch()
  const isSettled = () => launched.exitCode() !== undefined || launched.stdout().includes('Ctrl-C ends everything')
  await until(isSettled, { what: 'the quickstart has printed its lines', deadlineMs: 90_000 })
  const printed = launched.stdout()
  const registryUrl = /in front of .* on (\S+)/.exec(printed)?.[1]
  if (registryUrl === undefined) throw new Error(`the quickstart did not start: ${launched.stderr()}`)
  const lines = (heading: string): readonly string[] => {
    const block = printed.split('\n\n').find((text) => text.startsWith(heading)) ?? ''
    return block.split('\n').slice(1)
  }
  return { program: launched, printed, registryUrl, lines }
}

/** Pastes lines into a shell where the user of the quickstart stands; the first that fails ends it. */
function paste(lines: readonly string[], home?: ClientHome): Promise<RunResult> {
  const env = home?.env ?? { PATH: process.env['PATH'], HOME: directory }
  return (home?.place.run ?? run)('sh', ['-e', '-c', lines.join('\n')], { cwd: directory, env })
}

function pathWith(folder: string): string {
  return `${folder}:${process.env['PATH'] ?? ''}`
}

/** Puts a blob into the registry itself, which makes the repository. */
async function putBlob(registryUrl: string, repository: string): Promise<void> {
  const content = 'kept'
  const digest = `sha256:${createHash('sha256').update(content).digest('hex')}`
  const started = await fetch(`${registryUrl}/v2/${repository}/blobs/uploads/`, { method: 'POST' })
  const put = await fetch(`${started.headers.get('location') ?? ''}&digest=${digest}`, { method: 'PUT', body: content })
  expect(put.status).toBe(201)
}

function failureOf({ code, stdout, stderr }: RunResult): string | undefined {
  return code === 0 ? undefined : `exit code ${String(code)}: ${stdout}\n${stderr}`
}

/** Listens on a port of loopback for a moment: the port, which 0 lets the system choose. */
function listenOnce(wanted: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(wanted, '127.0.0.1', () => {
      const { port: chosen } = server.address() as AddressInfo
      server.close(() => {
        resolve(chosen)
      })
    })
  })
}
