import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { part } from './part.ts'
import { runStarted, start } from './processes.ts'
import type { Run, Start } from './processes.ts'
import { until } from './until.ts'

export type NetworkNamespaceOptions = {
  /** Addresses of its loopback device besides 127.0.0.1 and ::1. */
  readonly addresses?: readonly string[]
  /** Names that resolve inside it, each to one address. */
  readonly hosts?: Readonly<Record<string, string>>
}

/**
 * A machine within the machine: a network of its own that ends at its loopback device, and an /etc and a /run that may be
 * written without a trace outside. Other folders, /tmp above all, are the machine's own.
 */
export interface NetworkNamespace {
  /** Starts a process inside; the same process id outside, and it ends with the test like any other. */
  readonly start: Start
  /** Runs a command inside. */
  readonly run: Run
  /** Writes a file that only the namespace sees (under /etc or /run), with its folders. */
  readonly writeFile: (path: string, content: string | Buffer) => void
  /** Reads a file as the namespace sees it. */
  readonly readFile: (path: string) => string
  /** Ends the namespace. Processes inside are the test's to stop first. */
  readonly stop: () => Promise<void>
}

/**
 * Shell commands that give a mount namespace an /etc and a /run to write in. The overlay's upper layer lives in memory of
 * the namespace itself: nothing is left to remove.
 */
export const privateEtc: readonly string[] = [
  'mount -t tmpfs tmpfs /run',
  'mkdir -p /run/etc/upper /run/etc/work /run/lock',
  'mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work /etc',
]

/** Needs the part `network-namespace`, and `ip`. */
export async function createNetworkNamespace(options: NetworkNamespaceOptions = {}): Promise<NetworkNamespace> {
  const { addresses = [], hosts = {} } = options
  const setUp = [
    ...privateEtc,
    `"$1" link set lo up`,
    ...addresses.map((address) => `"$1" address add ${address}/${address.includes(':') ? '128' : '32'} dev lo`),
    'echo ready',
    // Lives as long as its input is open: as long as the test.
    'exec cat',
  ]
  const holder = start(part('network-namespace'), [
    '--net',
    '--mount',
    'sh',
    '-c',
    setUp.join(' && '),
    'sh',
    part('ip'),
  ])
  await until(() => holder.stdout().includes('ready') || holder.exitCode() !== undefined, {
    what: 'the namespace is up',
  })
  if (holder.exitCode() !== undefined) throw new Error(`no network namespace: ${holder.stderr()}`)

  const root = `/proc/${String(holder.pid)}/root`
  const startInside: Start = (command, args, { cwd = '/', ...rest } = {}) => {
    // The folder is entered inside: nsenter's own flag would leave one that belongs to the mounts outside.
    const words = ['sh', '-c', 'cd "$0" && exec "$@"', cwd, command, ...args]
    return start('nsenter', ['--target', String(holder.pid), '--net', '--mount', '--', ...words], rest)
  }
  const writeFile = (path: string, content: string | Buffer) => {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), content)
  }

  const lines = Object.entries(hosts).map(([name, address]) => `${address} ${name}`)
  writeFile('/etc/hosts', ['127.0.0.1 localhost', '::1 localhost', ...lines, ''].join('\n'))
  // No resolver answers in here, and waiting for one would cost every look-up five seconds.
  writeFile('/etc/resolv.conf', '')
  return {
    start: startInside,
    run: (command, args, runOptions = {}) => runStarted(startInside(command, args, runOptions), runOptions),
    writeFile,
    readFile: (path) => readFileSync(join(root, path), 'utf8'),
    stop: async () => {
      await holder.stop({ graceMs: 1_000 })
    },
  }
}
