import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo, Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSecureContext } from 'node:tls'
import { makeLdapCertificates } from './ldap-certificates.ts'
import type { LdapCertificateKind } from './ldap-certificates.ts'
import type { LdapEntry } from './ldap-entries.ts'
import { answer } from './ldap-fault-answers.ts'
import { createFaultConnection } from './ldap-fault-connection.ts'
import type { FaultConnection, FaultScript } from './ldap-fault-connection.ts'
import type { LdapRequest } from './ldap-messages.ts'
import { createSmallDirectory } from './ldap-small-directory.ts'

/** A script for every operation of a kind, or one for each in turn; the last one repeats. */
export type FaultScripts = FaultScript | readonly FaultScript[]

/** What is scripted; the rest is answered properly. */
export type FaultPlay = {
  /** At the beginning of a connection; by default nothing, and TLS on the port of `ldapsUrl`. */
  readonly connect?: (connection: FaultConnection) => void
  readonly startTls?: FaultScripts
  readonly bind?: FaultScripts
  readonly search?: FaultScripts
}

/** A request and how it came. */
export type FaultRequest = LdapRequest & { readonly connection: number; readonly isEncrypted: boolean }

export interface LdapFaultServer {
  readonly url: string
  readonly ldapsUrl: string
  readonly port: number
  readonly ldapsPort: number
  readonly ca: string
  readonly caFile: string
  /** All since it was made or since `reset`. */
  readonly connections: readonly FaultConnection[]
  readonly requests: readonly FaultRequest[]
  /** The binds that came outside TLS: for "no bind in the clear", together with `wire`. */
  readonly clearBinds: readonly FaultRequest[]
  /** Every byte that all connections read from TCP. */
  readonly wire: Buffer
  /** How many connections are open. */
  readonly open: () => number
  /** What it does from now on; replaces what was played before. */
  readonly play: (play: FaultPlay) => void
  /** Cuts and forgets all connections, and answers properly again. */
  readonly reset: () => void
  readonly close: () => Promise<void>
}

export type LdapFaultServerOptions = {
  /** `good` unless told. */
  readonly certificate?: LdapCertificateKind
  /** Added to the entries of test/support/ldap-entries.ts. */
  readonly entries?: readonly LdapEntry[]
}

/** A directory on loopback that fails in the way a test says. */
export async function startLdapFaultServer(options: LdapFaultServerOptions = {}): Promise<LdapFaultServer> {
  const certificates = await makeLdapCertificates()
  const { certificatePem, keyPem } = await certificates.issue(options.certificate ?? 'good')
  const secureContext = createSecureContext({ cert: certificatePem, key: keyPem })
  const folder = mkdtempSync(join(tmpdir(), 'wharfgate-ldap-fault-'))
  const caFile = join(folder, 'ca.crt')
  writeFileSync(caFile, certificates.ca)
  const directory = createSmallDirectory(options.entries)
  let connections: FaultConnection[] = []
  let requests: FaultRequest[] = []
  let current: FaultPlay = {}
  let played = new Map<string, number>()

  function nextScript(kind: LdapRequest['kind']): FaultScript {
    if (kind !== 'bind' && kind !== 'search' && kind !== 'startTls') return answer
    const scripts = current[kind] ?? answer
    if (typeof scripts === 'function') return scripts
    const turn = played.get(kind) ?? 0
    played.set(kind, turn + 1)
    return scripts[turn] ?? scripts.at(-1) ?? answer
  }

  function listen(isLdaps: boolean): Promise<Server> {
    const server = createServer({ noDelay: true }, (tcp) => {
      const connection = createFaultConnection(tcp, connections.length, secureContext, (request) => {
        requests.push({ ...request, connection: connection.number, isEncrypted: connection.isEncrypted })
        if (request.kind === 'unbind') connection.end()
        else nextScript(request.kind)({ request, connection, proper: directory.answer(request) })
      })
      connections.push(connection)
      if (current.connect !== undefined) current.connect(connection)
      else if (isLdaps) connection.startTls()
    })
    return new Promise((resolve) => {
      server.listen(0, '127.0.0.1', () => {
        resolve(server)
      })
    })
  }
  const servers = [await listen(false), await listen(true)] as const
  const [port, ldapsPort] = [portOf(servers[0]), portOf(servers[1])]
  const cut = (): void => {
    for (const connection of connections) connection.reset()
  }

  return {
    url: `ldap://localhost:${String(port)}`,
    ldapsUrl: `ldaps://localhost:${String(ldapsPort)}`,
    port,
    ldapsPort,
    ca: certificates.ca,
    caFile,
    get connections() {
      return connections
    },
    get requests() {
      return requests
    },
    get clearBinds() {
      return requests.filter(({ kind, isEncrypted }) => kind === 'bind' && !isEncrypted)
    },
    get wire() {
      return Buffer.concat(connections.map(({ wire }) => wire))
    },
    open: () => connections.filter(({ isClosed }) => !isClosed).length,
    play: (next) => {
      current = next
      played = new Map()
    },
    reset: () => {
      cut()
      connections = []
      requests = []
      current = {}
      played = new Map()
    },
    close: async () => {
      const closed = servers.map((server) => new Promise((resolve) => server.close(resolve)))
      cut()
      await Promise.all(closed)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port
}
