import { complaintOf, probeTimeoutMs, runCommand } from './command.ts'
import type { Need } from './catalogue.ts'

/** Mounts only where nobody else sees them; gone with the process that asked. */
const mountProbe = 'mount -t tmpfs tmpfs /run'

/** What the tests' namespaces have: an /etc that may be written, and a network (made by the flag). */
const networkProbe = [
  mountProbe,
  'mkdir /run/upper /run/work',
  'mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/upper,workdir=/run/work /etc',
  'echo probe > /etc/wharfgate-probe',
].join(' && ')

/** Tells whether this machine allows what a part needs: undefined when it does, else the reason, in a sentence. */
export type NeedCheck = (need: Need) => Promise<string | undefined>

/** Checks each need once, however many parts have it. */
export function createNeedCheck(path: string): NeedCheck {
  const known = new Map<Need, Promise<string | undefined>>()
  return (need) => {
    const answer = known.get(need) ?? checkNeed(need, path)
    known.set(need, answer)
    return answer
  }
}

async function checkNeed(need: Need, path: string): Promise<string | undefined> {
  switch (need) {
    case 'linux':
      return process.platform === 'linux' ? undefined : `it exists on Linux only, this is ${process.platform}`
    case 'root':
      return process.getuid?.() === 0 ? undefined : 'it needs root'
    case 'mount-namespace':
      return tryUnshare(['--mount'], mountProbe, 'a mount namespace', path)
    case 'network-namespace':
      return tryUnshare(['--mount', '--net'], networkProbe, 'a network namespace with its own /etc', path)
  }
}

async function tryUnshare(
  flags: readonly string[],
  script: string,
  what: string,
  path: string,
): Promise<string | undefined> {
  const user = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user']
  const args = [...user, ...flags, 'sh', '-c', script]
  const env = { ...process.env, PATH: path }
  const { code, output } = await runCommand('unshare', args, { timeoutMs: probeTimeoutMs, env })
  return code === 0 ? undefined : `this machine does not allow ${what}: ${complaintOf(output)}`
}
