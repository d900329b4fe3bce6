import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { part } from './part.ts'

/** Names and their addresses as one process sees them: an /etc/hosts of its own. Needs the part `network-namespace`. */
export type OwnHosts = {
  /** Command to start the process by. */
  readonly inside: readonly [string, ...string[]]
  /** Gives every name other addresses, at once; what is not listed is unknown. */
  write(hosts: Readonly<Record<string, readonly string[]>>): void
}

export function createOwnHosts(directory: string): OwnHosts {
  const file = join(directory, 'hosts')
  const resolvers = join(directory, 'resolv.conf')
  const write: OwnHosts['write'] = (hosts) => {
    // In place: it is the file itself that the process has mounted.
    const lines = Object.entries(hosts).flatMap(([name, addresses]) => addresses.map((each) => `${each} ${name}\n`))
    writeFileSync(file, lines.join(''))
  }
  write({})
  // No resolver answers, so an unknown name fails at once.
  writeFileSync(resolvers, 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n')
  const mounted = 'mount --bind "$1" /etc/hosts && mount --bind "$2" /etc/resolv.conf && shift 2 && exec "$@"'
  return {
    inside: [part('network-namespace'), '--mount', 'sh', '-c', mounted, 'sh', file, resolvers],
    write,
  }
}
