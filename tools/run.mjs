/**
 * Runs a command of this repository on the Node that the lockfile pins, after installing what is missing.
 * Plain JavaScript on purpose: it is what an older Node runs first, in a clone that has no node_modules yet.
 */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const minimum = [24, 9]

const bin = (name) => join('node_modules', name)
const node = (...args) => ['node', ...args]
const jest = node('--experimental-vm-modules', '--disable-warning=ExperimentalWarning', bin('jest/bin/jest.js'))
const eslint = node(bin('eslint/bin/eslint.js'), '.', '--max-warnings=0')
const prettier = (mode) => node(bin('prettier/bin/prettier.cjs'), mode, '--log-level=warn', '.')

/** Every command: the steps it runs, in order; the words behind the command go to the last step. */
const commands = {
  wharfgate: [node('bin/wharfgate.js')],
  quickstart: [node('tools/quickstart.ts')],
  test: [node('tools/provide-parts.ts'), jest],
  check: [
    prettier('--check'),
    eslint,
    node(bin('typescript/bin/tsc'), '--noEmit'),
    node('tools/generate.ts', '--check'),
  ],
  generate: [node('tools/generate.ts')],
  format: [prettier('--write')],
  build: [node(bin('typescript/bin/tsc'), '-p', 'tsconfig.build.json')],
  bench: [node('tools/provide-parts.ts', '--only', 'docker-registry'), node('bench/main.ts')],
  fuzz: [node('tools/fuzz.ts')],
  mutate: [node('tools/mutate.ts')],
  soak: [node('tools/provide-parts.ts', '--only', 'docker-registry,redis-server'), node('bench/soak.ts')],
}

function fail(message) {
  process.stderr.write(`wharfgate: ${message}\n`)
  process.exit(1)
}

/** Installs exactly what the lockfile says, once for each state of the lockfile. */
function install() {
  const lock = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex')
  const stamp = join(root, 'node_modules', '.wharfgate-lock')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return
  process.stderr.write('wharfgate: installing the packages named in package-lock.json ...\n')
  const result = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
    shell: process.platform === 'win32',
  })
  if (result.status !== 0) fail('npm ci failed; its own message stands above')
  writeFileSync(stamp, lock)
}

/** The pinned Node where the platform has one, else the Node that runs this script if it is new enough. */
function findNode() {
  const pinned = join(root, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node')
  if (existsSync(pinned)) return pinned
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major > minimum[0] || (major === minimum[0] && minor >= minimum[1])) return process.execPath
  return fail(
    `Node ${minimum.join('.')} or newer is needed, this is ${process.versions.node}, and no pinned Node exists for ` +
      `${process.platform}-${process.arch}; install Node 24 and run the command again`,
  )
}

/** Runs one step to its end; signals that reach this process are the step's to handle. */
function run([, ...args], executable) {
  return new Promise((resolve) => {
    const path = [dirname(executable), join(root, 'node_modules', '.bin'), process.env.PATH].join(':')
    const child = spawn(executable, args, {
      cwd: root,
      stdio: 'inherit',
      env: { ...process.env, PATH: path, WHARFGATE_CALLED_FROM: process.env.INIT_CWD ?? process.cwd() },
    })
    const forward = (signal) => child.kill(signal)
    const ignore = () => {}
    // A terminal sends Ctrl-C to the whole process group, so only the signals that reach us alone are passed on.
    process.on('SIGTERM', forward).on('SIGHUP', forward).on('SIGINT', ignore)
    child.on('error', (error) => fail(`${executable} cannot be started: ${error.message}`))
    child.on('exit', (code, signal) => {
      process.off('SIGTERM', forward).off('SIGHUP', forward).off('SIGINT', ignore)
      resolve(signal === null ? (code ?? 1) : 128)
    })
  })
}

const [name = '', ...words] = process.argv.slice(2)
const steps = commands[name]
if (steps === undefined) fail(`unknown command "${name}"; known are ${Object.keys(commands).join(', ')}`)
install()
const executable = findNode()
for (const [index, step] of steps.entries()) {
  const code = await run(index === steps.length - 1 ? [...step, ...words] : step, executable)
  if (code !== 0) process.exit(code)
}
