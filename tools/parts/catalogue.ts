/** How a part that is not on this machine can be had. */
export type Source =
  /**
   * Unpacked from packages of Debian or Ubuntu; the first list of package names that exists there is taken. `programs`
   * are started directly, where the command of that name is a script that looks for them in the root of the system.
   */
  | {
      readonly kind: 'debian'
      readonly group: string
      readonly packages: readonly (readonly string[])[]
      readonly programs?: readonly string[]
    }
  /** Built by Go, where it is installed, from a module at a pinned version. */
  | { readonly kind: 'go'; readonly module: string; readonly program: string; readonly version: string }
  /** Part of every system that can have it. */
  | { readonly kind: 'system'; readonly hint: string }

/** What a part asks of the machine besides being there. */
export type Need = 'linux' | 'mount-namespace' | 'network-namespace' | 'root'

/** One real server or client. */
export type PartDescription = {
  readonly name: string
  /** Names it goes by, the preferred first. */
  readonly commands: readonly string[]
  /** A harmless call that exits with 0 when the part works here. */
  readonly probe: readonly string[]
  /** What the answer to the probe must contain, where the name alone may belong to something else. */
  readonly expected?: RegExp
  readonly source: Source
  readonly needs: readonly Need[]
}

const engine: Source = { kind: 'debian', group: 'engine', packages: [['docker.io', 'docker-cli'], ['docker.io']] }
const containers: Source = { kind: 'debian', group: 'containers', packages: [['podman', 'buildah', 'skopeo']] }
const directory: Source = { kind: 'debian', group: 'slapd', packages: [['slapd', 'ldap-utils']] }
const debian = (name: string) => ({ kind: 'debian', group: name, packages: [[name]] }) as const
const version = ['--version']

/** Every part, in the order in which progress is told. To add one, add a row. */
export const catalogue: readonly PartDescription[] = [
  {
    name: 'docker-registry',
    commands: ['docker-registry', 'registry'],
    probe: version,
    expected: /distribution/,
    source: debian('docker-registry'),
    needs: [],
  },
  { name: 'openssl', commands: ['openssl'], probe: ['version'], source: debian('openssl'), needs: [] },
  {
    name: 'htpasswd',
    commands: ['htpasswd'],
    probe: ['-nbs', 'probe', 'probe'],
    source: debian('apache2-utils'),
    needs: [],
  },
  { name: 'slapd', commands: ['slapd'], probe: ['-VV'], expected: /OpenLDAP/, source: directory, needs: [] },
  { name: 'ldapsearch', commands: ['ldapsearch'], probe: ['-VV'], source: directory, needs: [] },
  {
    // Started with --sentinel, it is the watchman of its own kind.
    name: 'redis-server',
    commands: ['redis-server', 'valkey-server'],
    probe: version,
    expected: /Redis|Valkey/,
    source: { kind: 'debian', group: 'redis', packages: [['redis-server'], ['valkey-server']] },
    needs: [],
  },
  { name: 'sslscan', commands: ['sslscan'], probe: version, source: debian('sslscan'), needs: [] },
  { name: 'promtool', commands: ['promtool'], probe: version, source: debian('prometheus'), needs: [] },
  { name: 'ip', commands: ['ip'], probe: ['-V'], source: debian('iproute2'), needs: ['linux'] },
  { name: 'docker', commands: ['docker'], probe: version, expected: /Docker/, source: engine, needs: [] },
  { name: 'dockerd', commands: ['dockerd'], probe: version, source: engine, needs: ['root', 'network-namespace'] },
  { name: 'containerd', commands: ['containerd'], probe: version, source: engine, needs: ['root', 'mount-namespace'] },
  { name: 'ctr', commands: ['ctr'], probe: version, source: engine, needs: ['root', 'mount-namespace'] },
  { name: 'podman', commands: ['podman'], probe: version, source: containers, needs: ['mount-namespace'] },
  { name: 'buildah', commands: ['buildah'], probe: version, source: containers, needs: ['mount-namespace'] },
  { name: 'skopeo', commands: ['skopeo'], probe: version, source: containers, needs: [] },
  {
    name: 'crane',
    commands: ['crane'],
    probe: ['version'],
    source: { kind: 'go', module: 'github.com/google/go-containerregistry', program: 'cmd/crane', version: 'v0.22.1' },
    needs: [],
  },
  {
    name: 'oras',
    commands: ['oras'],
    probe: ['version'],
    source: { kind: 'go', module: 'oras.land/oras', program: 'cmd/oras', version: 'v1.2.0' },
    needs: [],
  },
  {
    name: 'chromium',
    commands: ['chromium'],
    probe: version,
    expected: /Chromium/,
    source: { ...debian('chromium'), programs: ['usr/lib/chromium/chromium'] },
    needs: ['linux'],
  },
  {
    name: 'network-namespace',
    commands: ['unshare'],
    probe: version,
    source: { kind: 'system', hint: 'unshare and nsenter of util-linux' },
    needs: ['linux', 'root', 'network-namespace'],
  },
]
