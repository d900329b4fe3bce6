import { chmodSync, mkdirSync } from 'node:fs'
import { createServer } from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { createGatewaySite } from '../support/gateway-site.ts'
import type { GatewaySite } from '../support/gateway-site.ts'
import { createOwnHosts } from '../support/own-hosts.ts'
import { basicOf } from '../support/personas.ts'
import { run } from '../support/processes.ts'
import { describeWith } from '../support/real-parts.ts'
import { part } from '../support/part.ts'
import { startRecordingUpstream } from '../support/recording-upstream.ts'
import type { RecordingUpstream } from '../support/recording-upstream.ts'
import { soonMs } from '../support/until.ts'

let upstream: RecordingUpstream
let site: GatewaySite
beforeAll(async () => {
  upstream = await startRecordingUpstream()
  site = await createGatewaySite({ upstream: { url: upstream.url } })
})
afterAll(async () => {
  await site.remove()
  await upstream.close()
})

describe('F-71: a gateway that cannot start', () => {
  test.each([
    ['an unknown key', { upsteam: {} }, /upsteam/],
    ['a wrong type', { listen: { port: 'https' } }, /listen\.port/],
    ['a missing registry', { upstream: {} }, /upstream\.url/],
    ['a missing certificate', { tls: { certificateFile: 'nowhere.crt', keyFile: 'certs/tls.key' } }, /nowhere\.crt/],
    ['missing users', { authentication: { htpasswd: { enabled: true, file: 'nobody' } } }, /nobody/],
    [
      'two faults at once',
      { upsteam: {}, listen: { port: 'https' } },
      /upsteam[^]*listen\.port|listen\.port[^]*upsteam/,
    ],
    ['an address of another machine', { listen: { host: '192.0.2.1', port: 0 } }, /192\.0\.2\.1[^]*EADDRNOTAVAIL/],
  ])('says so and exits 1 at once: %s', async (_title, settings, expected) => {
    const [program = '', ...args] = site.command('bad', settings)
    const startedMs = performance.now()
    const { code, stderr } = await run(program, args, { cwd: site.directory, env: {} })
    // A second is promised, on a machine that does nothing else.
    expect(performance.now() - startedMs).toBeLessThan(soonMs)
    expect(code).toBe(1)
    expect(stderr).toMatch(expected)
    expect(stderr).not.toMatch(/\n\s+at /)
  })
})

describeWith(['network-namespace'], 'F-72: IPv6', () => {
  test('is enough: it listens on ::1, and finds a registry that is there alone behind a name with two addresses', async () => {
    const registry = createServer((_req, res) => {
      res.setHeader('content-type', 'application/json').end('{"name":"a","tags":[]}')
    })
    await new Promise<void>((resolve) => registry.listen(0, '::1', resolve))
    const { port } = registry.address() as AddressInfo
    try {
      const hosts = createOwnHosts(site.directory)
      hosts.write({ localhost: ['127.0.0.1', '::1'] })
      const gateway = await site.serve({
        settings: { listen: { host: '::1', port: 0 }, upstream: { url: `http://localhost:${port}` } },
        inside: hosts.inside,
      })
      const headers = { authorization: basicOf('alice') }
      const status = await new Promise((resolve, reject) => {
        const options = { host: '::1', ...gateway.target, servername: 'localhost', path: '/v2/a/tags/list', headers }
        https.get({ ...options, agent: false }, (res) => void resolve(res.resume().statusCode)).once('error', reject)
      })
      expect(status).toBe(200)
      await expect(gateway.asAlice({ path: '/v2/' })).rejects.toThrow(/ECONNREFUSED/)
      expect(gateway.log()).toContain(`https://[::1]:${gateway.port}`)
    } finally {
      registry.close()
      registry.closeAllConnections()
    }
  })
})

describeWith(['network-namespace'], 'F-70: a machine that may not be written to', () => {
  test('is enough for any user, and the missing socket is told', async () => {
    // Whoever deploys it makes these readable; the key is the one that is not by itself.
    const certificates = join(site.directory, 'certs')
    const root = join(import.meta.dirname, '..', '..')
    const spare = join(site.directory, 'checkout')
    mkdirSync(spare)
    chmodSync(site.directory, 0o755)
    chmodSync(certificates, 0o755)
    chmodSync(join(certificates, 'tls.key'), 0o644)
    chmodSync(join(site.directory, 'htpasswd'), 0o644)
    const readOnly = [
      'set -e',
      // A checkout in somebody's private folder is shown to the other user in the same place, in this namespace alone.
      'root=$1 spare=$2; shift 2; cover=; at=$root',
      'while :; do case $(stat -c %A "$at") in *[xt]) ;; *) cover=$at ;; esac',
      '[ "$at" = / ] && break; at=$(dirname "$at"); done',
      'if [ -n "$cover" ]; then mount --bind "$root" "$spare"; mount -t tmpfs -o mode=755 tmpfs "$cover"; mkdir -p "$root"',
      'for entry in bin src node_modules; do mkdir "$root/$entry"; mount --bind "$spare/$entry" "$root/$entry"; done',
      'cp "$spare/package.json" "$root"; fi',
      // Every mount below the root as well, the devices and the state of the kernel apart.
      `for point in $(cut -d' ' -f5 /proc/self/mountinfo | grep -vE '^/(proc|sys|dev)'); do`,
      'mount -o remount,bind,ro "$point" 2>/dev/null || true; done',
      'if touch /wharfgate-was-here /tmp/wharfgate-was-here 2>/dev/null; then exit 70; fi',
      'exec setpriv --reuid 65532 --regid 65532 --clear-groups --no-new-privs -- "$@"',
    ].join('\n')
    const gateway = await site.serve({
      settings: { admin: { host: '127.0.0.1', port: 0 } },
      inside: [part('network-namespace'), '--mount', 'sh', '-c', readOnly, 'sh', root, spare],
    })
    expect((await gateway.asAlice({ path: '/v2/' })).status).toBe(200)
    expect((await fetch(`${gateway.adminUrl}/readyz`)).status).toBe(200)
    expect(gateway.log()).toMatch(/"level":"warn"[^\n]*admin/)
    expect(gateway.process.stdout()).toContain('"user":"alice"')
    expect((await gateway.process.stop()).code).toBe(0)
  })
})
