import { describe, expect, test } from '@jest/globals'
import { parseCertificateHosts } from '../../../src/cli/certificate-host.ts'
import {
  configurationSection,
  printSections,
  registryName,
  trustInstructions,
} from '../../../src/cli/trust-instructions.ts'

function instructionsFor(hosts: readonly string[], { port = 8443, authorityFile = '/srv/certs/ca.crt' } = {}): string {
  const authoritySha256 = 'AB:CD:EF:01:23'
  return printSections(trustInstructions({ hosts: parseCertificateHosts(hosts), port, authorityFile, authoritySha256 }))
}

describe('trust instructions', () => {
  test.each([
    ['registry.example.org', 8443, 'registry.example.org:8443'],
    ['registry.example.org', 443, 'registry.example.org'],
    ['::1', 8443, '[::1]:8443'],
    ['::1', 443, '[::1]'],
    ['192.0.2.1', 5000, '192.0.2.1:5000'],
    ['*.example.org', 8443, 'NAME.example.org:8443'],
  ])('%s on port %i is called %s by clients', (host, port, name) => {
    expect(parseCertificateHosts([host]).map((parsed) => registryName(parsed, port))).toEqual([name])
  })

  test('every client has its place for the CA', () => {
    const text = instructionsFor(['registry.example.org'])
    for (const line of [
      'sudo install -D -m 0644 /srv/certs/ca.crt /etc/docker/certs.d/registry.example.org:8443/ca.crt',
      'sudo install -D -m 0644 /srv/certs/ca.crt /etc/containers/certs.d/registry.example.org:8443/ca.crt',
      'sudo install -D -m 0644 /srv/certs/ca.crt /etc/containerd/certs.d/registry.example.org:8443/ca.crt',
      "sudo tee /etc/containerd/certs.d/registry.example.org:8443/hosts.toml >/dev/null <<'EOF'",
      'server = "https://registry.example.org:8443"',
      'ca = "/etc/containerd/certs.d/registry.example.org:8443/ca.crt"',
      '[host]',
      'EOF',
      'sudo install -D -m 0644 /srv/certs/ca.crt /usr/local/share/ca-certificates/wharfgate-abcdef01.crt',
      'sudo update-ca-certificates',
      'sudo install -D -m 0644 /srv/certs/ca.crt /etc/pki/ca-trust/source/anchors/wharfgate-abcdef01.crt',
      'sudo update-ca-trust extract',
      'sudo security add-trusted-cert -d -r trustRoot -p ssl -k /Library/Keychains/System.keychain /srv/certs/ca.crt',
    ]) {
      expect(text.split('\n')).toContain(line)
    }
  })

  test('what a shell would change is quoted', () => {
    const text = instructionsFor(['::1'], { authorityFile: "/srv/alice's certs/ca.crt" })
    expect(text).toContain(
      `install -D -m 0644 '/srv/alice'\\''s certs/ca.crt' '/etc/docker/certs.d/[::1]:8443/ca.crt'\n`,
    )
    expect(text).toContain('server = "https://[::1]:8443"')
  })

  test('every line that is no command and no part of a file is a comment, so that whole blocks can be pasted', () => {
    const outsideFiles = instructionsFor(['a.example', '*.b.example', '::1']).replaceAll(/^sudo tee[^]*?^EOF$/gm, '')
    expect(outsideFiles.split('\n').filter((line) => !/^(|# .*|sudo .*)$/.test(line))).toEqual([])
  })

  test('a wildcard says that its NAME is to be filled in', () => {
    expect(instructionsFor(['*.example.org'])).toContain('put the host in place of NAME')
    expect(instructionsFor(['a.example.org'])).not.toContain('NAME')
  })

  test('the configuration names both files, quoted where YAML needs it', () => {
    expect(printSections([configurationSection('/c/tls.crt', '/c d/tls.key')])).toMatch(
      /\ntls:\n {2}certificateFile: \/c\/tls\.crt\n {2}keyFile: "\/c d\/tls\.key"\n$/,
    )
  })
})
