import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { run, start } from '../support/processes.ts'
import { startRecordingUpstream } from '../support/recording-upstream.ts'
import { until } from '../support/until.ts'
import { writePolicy } from '../support/policies.ts'

const root = join(import.meta.dirname, '..', '..')

type Locked = {
  readonly version?: string
  readonly resolved?: string
  readonly integrity?: string
  readonly link?: boolean
  readonly dev?: boolean
  readonly optional?: boolean
  readonly devOptional?: boolean
  readonly hasInstallScript?: boolean
}

function readJson<Shape>(file: string): Shape {
  return JSON.parse(readFileSync(join(root, file), 'utf8')) as Shape
}

describe('A-128 the lockfile says what is installed, to the byte', () => {
  const { packages } = readJson<{ readonly packages: Readonly<Record<string, Locked>> }>('package-lock.json')
  const own = new Set(['', 'tools/runtime'])
  const foreign = Object.entries(packages).filter(([path, { link }]) => !own.has(path) && link !== true)

  test('each package has a checksum', () => {
    expect(foreign.length).toBeGreaterThan(100)
    expect(foreign.filter(([, { integrity = '' }]) => !/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity))).toEqual([])
  })

  test('none comes from elsewhere than the registry that npm is set to', () => {
    expect(foreign.filter(([, { resolved }]) => resolved !== undefined && !resolved.startsWith('https://'))).toEqual([])
    expect(foreign.filter(([, { resolved = '' }]) => /^git|github|\.git(?:#|$)/.test(resolved))).toEqual([])
    const links = Object.entries(packages).filter(([, { link }]) => link === true)
    expect(links.map(([, { resolved }]) => resolved)).toEqual(['tools/runtime'])
  })

  test('what package.json names is named exactly', () => {
    const manifest = readJson<Readonly<Record<string, Readonly<Record<string, string>> | undefined>>>('package.json')
    const named = ['dependencies', 'devDependencies', 'overrides'].flatMap((key) => Object.entries(manifest[key] ?? {}))
    expect(named.length).toBeGreaterThan(10)
    expect(named.filter(([, version]) => !/^(?:npm:@?[\w./-]+@)?\d+\.\d+\.\d+$/.test(version))).toEqual([])
  })

  test('nothing that serves has an install script', () => {
    const scripted = foreign.filter(([, { hasInstallScript }]) => hasInstallScript === true)
    const serving = scripted.filter(
      ([, { dev, devOptional, optional }]) => dev !== true && devOptional !== true && optional !== true,
    )
    expect(serving.map(([path]) => path)).toEqual([])
  })
})

describe('A-128 without any install script', () => {
  let directory: string
  const node = (): string => join(directory, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node')

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'wharfgate-supply-'))
    for (const name of [
      'package.json',
      'package-lock.json',
      'jest.config.js',
      'tsconfig.json',
      'bin',
      'src',
      'tools',
      'test',
    ]) {
      cpSync(join(root, name), join(directory, name), { recursive: true })
    }
    const flags = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error']
    const { code, stdout, stderr } = await run('npm', ['ci', ...flags], { cwd: directory, timeoutMs: 500_000 })
    expect({ code, output: code === 0 ? '' : `${stdout}${stderr}` }).toEqual({ code: 0, output: '' })
  }, 600_000)
  afterAll(() => {
    rmSync(directory, { recursive: true, force: true })
  })

  test('the tests run', async () => {
    const jest = join('node_modules', 'jest', 'bin', 'jest.js')
    const files = ['test/unit/registry', 'test/unit/authentication/password-hashing.test.ts']
    const flags = ['--experimental-vm-modules', jest, '--maxWorkers=1', ...files]
    const { code, stderr } = await run(executable(), flags, { cwd: directory, timeoutMs: 500_000 })
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringMatching(/Test Suites: \d+ passed, \d+ total/) })
  }, 600_000)

  test('the gateway serves', async () => {
    const upstream = await startRecordingUpstream()
    const home = join(directory, 'home')
    mkdirSync(home)
    const command = join(directory, 'bin', 'wharfgate.js')
    const env = { PATH: process.env['PATH'], HOME: home }
    const made = await run(executable(), [command, 'certs', 'init', '--directory', 'certs', '--host', 'localhost'], {
      env,
      cwd: home,
    })
    const hashed = await run(executable(), [command, 'hash-password', 'alice'], {
      env,
      cwd: home,
      input: 'a password of hers\n',
    })
    expect([made.code, hashed.code]).toEqual([0, 0])
    writeFileSync(join(home, 'htpasswd'), hashed.stdout)
    writePolicy(home)
    const config = {
      publicUrl: 'https://localhost:8443',
      listen: { host: '127.0.0.1', port: 0 },
      admin: { port: 0, socket: 'admin.sock' },
      upstream: { url: upstream.url },
      authentication: { htpasswd: { enabled: true, file: 'htpasswd' } },
      audit: { destination: 'audit.log' },
      shutdown: { timeoutSeconds: 1 },
    }
    writeFileSync(join(home, 'config.json'), JSON.stringify(config))
    const serving = start(executable(), [command, 'serve', '--config', 'config.json'], { env, cwd: home })
    try {
      const isSettled = () => serving.exitCode() !== undefined || /https:\/\/127\.0\.0\.1:\d+/.test(serving.stderr())
      await until(isSettled, { what: 'the gateway serves' })
      expect(serving.stderr()).toMatch(/https:\/\/127\.0\.0\.1:\d+/)
    } finally {
      await serving.stop()
      await upstream.close()
    }
  })

  /** The Node that the lockfile pins, where there is one for this platform. */
  function executable(): string {
    return existsSync(node()) ? node() : process.execPath
  }
})
