import type { NetworkNamespace } from './network-namespace.ts'

const systemStore = '/etc/ssl/certs/ca-certificates.crt'

/**
 * Copies a CA, inside a namespace, to where each client looks for those of one registry (`name:port`): what a user does
 * with the lines that `certs init` prints. Docker, containers/image (podman, buildah, skopeo), containerd, and the
 * system's own store for everything else.
 */
export function installTrust(namespace: NetworkNamespace, registry: string, caPem: string): void {
  namespace.writeFile(`/etc/docker/certs.d/${registry}/ca.crt`, caPem)
  namespace.writeFile(`/etc/containers/certs.d/${registry}/ca.crt`, caPem)
  const folder = `/etc/containerd/certs.d/${registry}`
  namespace.writeFile(`${folder}/ca.crt`, caPem)
  const hosts = `server = "https://${registry}"\n\n[host."https://${registry}"]\n  ca = "${folder}/ca.crt"\n`
  namespace.writeFile(`${folder}/hosts.toml`, hosts)
  namespace.writeFile(systemStore, `${readOrEmpty(namespace, systemStore)}\n${caPem}`)
}

function readOrEmpty(namespace: NetworkNamespace, path: string): string {
  try {
    return namespace.readFile(path)
  } catch {
    return ''
  }
}
