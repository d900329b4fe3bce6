import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { groups, groupsDn, people, peopleDn, serviceAccount } from '../support/ldap-entries.ts'
import { startLdapServer } from '../support/ldap-server.ts'
import { basic } from '../support/personas.ts'
import { run } from '../support/processes.ts'
import { describeWith } from '../support/real-parts.ts'
import { startRecordingUpstream } from '../support/recording-upstream.ts'
import { startGateway } from '../support/start-gateway.ts'

const command = join(import.meta.dirname, '../../bin/wharfgate.js')

describeWith(['slapd', 'ldapsearch'], 'wharfgate credentials flush', () => {
  test('makes what was changed in the directory count at once', async () => {
    await using parts = new AsyncDisposableStack()
    const directory = parts.adopt(await startLdapServer(), (started) => started.stop())
    const upstream = parts.adopt(await startRecordingUpstream(), (started) => started.close())
    const ldap = {
      ...{ enabled: true, url: directory.ldapsUrl, caFile: directory.caFile, searchBase: peopleDn },
      ...{ bindDn: serviceAccount.dn, bindPassword: serviceAccount.password },
      ...{ groups: 'memberOf', groupSearchBase: groupsDn },
    }
    const gateway = parts.adopt(
      await startGateway({
        upstreamUrl: upstream.url,
        policy: 'rules:\n  - { allow: reader, to: group:readers, on: base/** }\n',
        settings: { authentication: { order: ['ldap', 'htpasswd'], ldap } },
      }),
      (started) => started.stop(),
    )
    const pull = async (): Promise<number> =>
      (
        await gateway.ask({
          path: '/v2/base/app/tags/list',
          headers: { authorization: basic('bob', people.bob.password) },
        })
      ).status

    expect(await pull()).toBe(200)
    await directory.leave(groups.readers.dn, people.bob.dn)
    expect(await pull()).toBe(200)
    const words = ['credentials', 'flush', '--config', join(gateway.directory, 'wharfgate.json')]
    expect(await run(process.execPath, [command, ...words])).toMatchObject({ stderr: '', code: 0 })
    expect(await pull()).toBe(403)
  })
})
