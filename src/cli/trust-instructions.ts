/** Lines to copy that make the clients of a registry trust the local CA, and the gateway use the certificate. */
import type { CertificateHost } from './certificate-host.ts'

export type TrustSubject = {
  readonly hosts: readonly CertificateHost[]
  /** Where clients reach the gateway, 1 to 65535. */
  readonly port: number
  /** Absolute path of the CA's certificate. */
  readonly authorityFile: string
  /** SHA-256 of the CA's certificate, hex with or without colons; names the file in the system store. */
  readonly authoritySha256: string
}

/** `lines` can be pasted into a shell as they are, or into the file that `title` names. */
export type InstructionSection = { readonly title: string; readonly lines: readonly string[] }

/**
 * A host as clients write it in front of an image and as certs.d directories are called: an IPv6 address in brackets,
 * no `:443`. A wildcard becomes `NAME.example.org`, because no client reads wildcards in those directories.
 */
export function registryName(host: CertificateHost, port: number): string {
  const text = host.text.replace(/^\*/, 'NAME')
  const bracketed = text.includes(':') ? `[${text}]` : text
  return port === 443 ? bracketed : `${bracketed}:${String(port)}`
}

/** Every client in turn; each section is enough for its client. */
export function trustInstructions(subject: TrustSubject): readonly InstructionSection[] {
  const names = subject.hosts.map((host) => registryName(host, subject.port))
  const placeholder = names.some((name) => name.startsWith('NAME.')) ? '; put the host in place of NAME' : ''
  return [
    {
      title: `Docker engine (at once, without a restart${placeholder}):`,
      lines: names.map((name) => installLine(subject.authorityFile, `/etc/docker/certs.d/${name}/ca.crt`)),
    },
    {
      title: `podman, skopeo, buildah (without root: ~/.config/containers/certs.d/ instead of /etc/containers/certs.d/${placeholder}):`,
      lines: names.map((name) => installLine(subject.authorityFile, `/etc/containers/certs.d/${name}/ca.crt`)),
    },
    {
      title: `containerd with config_path = "/etc/containerd/certs.d"; ctr with --hosts-dir /etc/containerd/certs.d${placeholder}:`,
      lines: names.flatMap((name) => containerdLines(subject.authorityFile, name)),
    },
    ...systemStoreSections(subject),
  ]
}

/**
 * The empty `[host]` table says nothing, but without one containerd 1.6, and 1.7 before 1.7.32, takes the whole file for
 * faulty: it logs `invalid host tree` at every transfer and looks for `*.crt` files instead (containerd pull request 10028).
 */
function containerdLines(authorityFile: string, name: string): readonly string[] {
  const directory = `/etc/containerd/certs.d/${name}`
  return [
    installLine(authorityFile, `${directory}/ca.crt`),
    `sudo tee ${shellWord(`${directory}/hosts.toml`)} >/dev/null <<'EOF'`,
    `server = "https://${name}"`,
    `ca = "${directory}/ca.crt"`,
    '[host]',
    'EOF',
  ]
}

function systemStoreSections({ authorityFile, authoritySha256 }: TrustSubject): readonly InstructionSection[] {
  const file = `wharfgate-${authoritySha256.replaceAll(':', '').slice(0, 8).toLowerCase()}.crt`
  const source = shellWord(authorityFile)
  return [
    {
      title: 'System store on Debian and Ubuntu (restart the Docker engine or containerd afterwards):',
      lines: [installLine(authorityFile, `/usr/local/share/ca-certificates/${file}`), 'sudo update-ca-certificates'],
    },
    {
      title: 'System store on RHEL, Fedora and their kin (restart the Docker engine or containerd afterwards):',
      lines: [installLine(authorityFile, `/etc/pki/ca-trust/source/anchors/${file}`), 'sudo update-ca-trust extract'],
    },
    {
      title: 'System store on macOS (restart Docker Desktop afterwards):',
      lines: [`sudo security add-trusted-cert -d -r trustRoot -p ssl -k /Library/Keychains/System.keychain ${source}`],
    },
  ]
}

/** What the configuration file of the gateway says about the certificate. */
export function configurationSection(certificateFile: string, keyFile: string): InstructionSection {
  return {
    title: 'Wharfgate itself, in its configuration file:',
    lines: ['tls:', `  certificateFile: ${yamlText(certificateFile)}`, `  keyFile: ${yamlText(keyFile)}`],
  }
}

/** Sections as text, with comments for titles and nothing indented, so that whole blocks can be pasted. */
export function printSections(sections: readonly InstructionSection[]): string {
  return sections.map(({ title, lines }) => `\n${[`# ${title}`, ...lines].join('\n')}\n`).join('')
}

/** `-D` makes the directories; the mode is said because the files of certs.d must be readable to the engine. */
function installLine(from: string, to: string): string {
  return `sudo install -D -m 0644 ${shellWord(from)} ${shellWord(to)}`
}

function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}

function yamlText(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : JSON.stringify(path)
}
