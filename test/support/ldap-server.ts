import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { freePort } from '../../tools/free-port.ts'
import { ber, berInteger, berOctets, berTag } from './ldap-ber.ts'
import { makeLdapCertificates } from './ldap-certificates.ts'
import type { LdapCertificateKind, LdapCertificates } from './ldap-certificates.ts'
import { administrator, directoryEntries, ldifLine, saltedSha, toLdif } from './ldap-entries.ts'
import type { DirectoryOptions, LdapEntry } from './ldap-entries.ts'
import { parseLdapLog } from './ldap-log.ts'
import type { LdapTraffic } from './ldap-log.ts'
import { slapdConfiguration } from './ldap-slapd-configuration.ts'
import type { SlapdBehaviour } from './ldap-slapd-configuration.ts'
import { part } from './part.ts'
import { run, start } from './processes.ts'
import type { RunningProcess } from './processes.ts'
import { until } from './until.ts'

/** What a directory holds and how it behaves; everything has a default. */
export type LdapServerOptions = DirectoryOptions &
  SlapdBehaviour & {
    /** `good` unless told; with `none` there is no `ldaps` and StartTLS is refused. */
    readonly certificate?: LdapCertificateKind | 'none'
    /** Added to the usual entries; parents first. */
    readonly entries?: readonly LdapEntry[]
    /** Whether it writes down what it is asked: yes unless told. Without it there is no `traffic`; for measuring. */
    readonly isLogged?: boolean
  }

/** A real slapd on loopback that a test started and must stop. */
export interface LdapServer {
  /** `ldap://localhost:PORT`, for clear text and StartTLS. */
  readonly url: string
  /** `ldaps://localhost:PORT`; nobody listens there when the certificate is `none`. */
  readonly ldapsUrl: string
  readonly port: number
  readonly ldapsPort: number
  /** PEM of the authority that issued the certificate, as text and as a file. */
  readonly ca: string
  readonly caFile: string
  readonly pid: () => number
  /** Applies LDIF records that name their `changetype`. @throws Error with what ldapmodify said */
  readonly modify: (ldif: string) => Promise<void>
  readonly add: (entries: readonly LdapEntry[]) => Promise<void>
  /** Removes an entry; the memberOf of others follows. */
  readonly remove: (dn: string) => Promise<void>
  readonly setPassword: (dn: string, password: string) => Promise<void>
  readonly join: (groupDn: string, memberDn: string) => Promise<void>
  /** The last member of a group cannot leave it (groupOfNames): remove the group. */
  readonly leave: (groupDn: string, memberDn: string) => Promise<void>
  /** Locks an account by the password policy: even the right password is refused. */
  readonly lock: (dn: string) => Promise<void>
  readonly unlock: (dn: string) => Promise<void>
  /** What it was asked over TCP since it was made or since `forget`, over all restarts. */
  readonly traffic: () => Promise<LdapTraffic>
  /** Begins to count anew: `traffic` then has what was opened and what was asked since, over old connections too. */
  readonly forget: () => Promise<void>
  readonly log: () => string
  /** SIGKILL: the connections are reset, the data stays. */
  readonly kill: () => Promise<void>
  /** SIGSTOP: connections stand, new ones are accepted by the kernel, nothing is answered. */
  readonly freeze: () => void
  /** SIGCONT: answers what came meanwhile. */
  readonly thaw: () => void
  /** SIGTERM: a directory that is down; data and ports stay for `restart`. */
  readonly halt: () => Promise<void>
  /** Ends it if it runs, and starts it on the same ports with the same data, and another certificate if told. */
  readonly restart: (options?: { readonly certificate?: LdapCertificateKind | 'none' }) => Promise<void>
  /** Ends it and removes its files. */
  readonly stop: () => Promise<void>
}

/** Starts slapd on free ports with the entries of test/support/ldap-entries.ts, and waits until it answers. */
export async function startLdapServer(options: LdapServerOptions = {}): Promise<LdapServer> {
  const directory = mkdtempSync(join(tmpdir(), 'wharfgate-ldap-'))
  const certificates = await makeLdapCertificates()
  const site: Site = { directory, options, certificates, certificate: options.certificate ?? 'good' }
  const caFile = join(directory, 'ca.crt')
  writeFileSync(caFile, certificates.ca)
  await configure(site)
  await load(site)
  const { ports, running: first } = await launchOnFreePorts(site)
  let running = first
  let isFrozen = false
  let earlier: readonly string[] = []
  let forgotten = { connections: 0, operations: 0 }
  const ldapmodify = (ldif: string) => runLdapmodify(directory, ldif)

  async function end(signal: NodeJS.Signals): Promise<void> {
    // A frozen process takes no signal but this one.
    running.kill(isFrozen ? 'SIGKILL' : signal)
    isFrozen = false
    await running.ended
  }

  /** All runs; the log of what was answered before this call is in it. */
  async function traffic(): Promise<LdapTraffic> {
    if (options.isLogged === false) throw new Error('this slapd writes no log: start it without isLogged: false')
    if (!isFrozen && running.exitCode() === undefined) await settle(directory, running)
    const runs = [...earlier, running.stderr()].map((text, at) => parseLdapLog(text, at + 1))
    return {
      connections: runs.flatMap(({ connections }) => connections),
      operations: runs.flatMap(({ operations }) => operations),
    }
  }

  return {
    url: `ldap://localhost:${String(ports.ldap)}`,
    ldapsUrl: `ldaps://localhost:${String(ports.ldaps)}`,
    port: ports.ldap,
    ldapsPort: ports.ldaps,
    ca: certificates.ca,
    caFile,
    pid: () => running.pid,
    modify: ldapmodify,
    add: (entries) => ldapmodify(toLdif(entries).replaceAll(/^(dn:: .*)$/gm, '$1\nchangetype: add')),
    remove: (dn) => ldapmodify(`${ldifLine('dn', dn)}\nchangetype: delete\n`),
    setPassword: (dn, password) => ldapmodify(change(dn, 'replace', 'userPassword', saltedSha(password))),
    join: (groupDn, memberDn) => ldapmodify(change(groupDn, 'add', 'member', memberDn)),
    leave: (groupDn, memberDn) => ldapmodify(change(groupDn, 'delete', 'member', memberDn)),
    lock: (dn) => ldapmodify(change(dn, 'replace', 'pwdAccountLockedTime', '000001010000Z')),
    unlock: (dn) => ldapmodify(change(dn, 'replace', 'pwdAccountLockedTime')),
    traffic: async () => {
      const { connections, operations } = await traffic()
      return {
        connections: connections.slice(forgotten.connections),
        operations: operations.slice(forgotten.operations),
      }
    },
    forget: async () => {
      const { connections, operations } = await traffic()
      forgotten = { connections: connections.length, operations: operations.length }
    },
    log: () => [...earlier, running.stderr()].join(''),
    kill: () => end('SIGKILL'),
    freeze: () => {
      isFrozen = true
      running.kill('SIGSTOP')
    },
    thaw: () => {
      running.kill('SIGCONT')
      isFrozen = false
    },
    halt: () => end('SIGTERM'),
    restart: async ({ certificate } = {}) => {
      await end('SIGTERM')
      earlier = [...earlier, running.stderr()]
      site.certificate = certificate ?? site.certificate
      await configure(site)
      running = await launch(site, ports)
    },
    stop: async () => {
      await end('SIGKILL')
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

type Site = {
  readonly directory: string
  readonly options: LdapServerOptions
  readonly certificates: LdapCertificates
  /** Of the next start. */
  certificate: LdapCertificateKind | 'none'
}

type Ports = { readonly ldap: number; readonly ldaps: number }

/** Writes slapd.conf, and a certificate and its key. */
async function configure({ directory, options, certificates, certificate }: Site): Promise<void> {
  if (certificate !== 'none') {
    const { certificatePem, keyPem } = await certificates.issue(certificate)
    writeFileSync(join(directory, 'tls.crt'), certificatePem)
    writeFileSync(join(directory, 'tls.key'), keyPem)
  }
  const place = { slapd: part('slapd'), directory, hasTls: certificate !== 'none' }
  writeFileSync(join(directory, 'slapd.conf'), slapdConfiguration(place, options))
}

/** Fills the database without a server: 5,000 groups take no longer than 50. */
async function load({ directory, options }: Site): Promise<void> {
  mkdirSync(join(directory, 'data'))
  const words = ['-T', 'add', '-q', '-f', join(directory, 'slapd.conf')]
  const { code, stderr } = await run(part('slapd'), words, {
    input: toLdif([...directoryEntries(options), ...(options.entries ?? [])]),
  })
  if (code !== 0) throw new Error(`slapadd failed: ${stderr}`)
}

/** Somebody else may take a port between its choice and the start. */
async function launchOnFreePorts(site: Site, attempts = 3): Promise<{ ports: Ports; running: RunningProcess }> {
  const ports = { ldap: await freePort(), ldaps: await freePort() }
  try {
    return { ports, running: await launch(site, ports) }
  } catch (error) {
    if (attempts <= 1 || !String(error).includes('bind(')) throw error
    return launchOnFreePorts(site, attempts - 1)
  }
}

async function launch({ directory, options, certificate }: Site, ports: Ports): Promise<RunningProcess> {
  const ldaps = certificate === 'none' ? [] : [`ldaps://127.0.0.1:${String(ports.ldaps)}/`]
  const urls = [`ldap://127.0.0.1:${String(ports.ldap)}/`, ...ldaps, ldapiUrl(directory)].join(' ')
  const level = options.isLogged === false ? '0' : 'stats'
  const running = start(part('slapd'), ['-f', join(directory, 'slapd.conf'), '-h', urls, '-d', level])
  try {
    await until(() => running.exitCode() !== undefined || isAnswering(directory), {
      what: 'slapd answers',
      intervalMs: 5,
    })
    if (running.exitCode() === undefined) return running
    throw new Error('it ended')
  } catch (error) {
    running.kill('SIGKILL')
    throw new Error(`slapd did not start: ${(await running.ended).stderr}`, { cause: error })
  }
}

const socketName = 'slapd.sock'

function ldapiUrl(directory: string): string {
  return `ldapi://${encodeURIComponent(join(directory, socketName))}`
}

function isAnswering(directory: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(join(directory, socketName), () => socket.write(searchFor('')))
    socket.once('data', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', reject)
  })
}

let marks = 0

/**
 * Waits until the log tells of everything that was answered before. slapd writes the line of an answer after the answer
 * itself, so that one is waited for as well; not for long, as what was abandoned never gets one.
 */
async function settle(directory: string, running: RunningProcess): Promise<void> {
  marks += 1
  const name = `cn=mark-${String(marks)}`
  const socket = connect(join(directory, socketName), () => socket.write(searchFor(name)))
  socket.on('error', () => undefined)
  try {
    await until(() => running.exitCode() !== undefined || running.stderr().includes(`base="${name}"`), {
      what: 'slapd writes its log',
      intervalMs: 5,
    })
    const isAnswered = () => parseLdapLog(running.stderr(), 1).unanswered === 0
    await until(isAnswered, { what: 'slapd answers', deadlineMs: 500, intervalMs: 5 }).catch(() => undefined)
  } finally {
    socket.destroy()
  }
}

/** A search for one entry, as a client without any credentials asks (RFC 4511 section 4.5.1). */
function searchFor(dn: string): Buffer {
  const [base, never, none, empty] = [0, 0, 0, '']
  const search = ber(
    0x63,
    berOctets(dn),
    berInteger(base, berTag.enumerated),
    berInteger(never, berTag.enumerated),
    berInteger(none),
    berInteger(none),
    ber(berTag.boolean, Buffer.from([0])),
    ber(0x87, 'objectClass'),
    ber(berTag.sequence, empty),
  )
  return ber(berTag.sequence, berInteger(1), search)
}

function change(dn: string, how: 'add' | 'delete' | 'replace', attribute: string, value?: string): string {
  const values = value === undefined ? [] : [ldifLine(attribute, value)]
  return [ldifLine('dn', dn), 'changetype: modify', `${how}: ${attribute}`, ...values, ''].join('\n')
}

/** By the unix socket, so that it is not counted; `relax` because the state of an account is not the user's to change. */
async function runLdapmodify(directory: string, ldif: string): Promise<void> {
  const { dn, password } = administrator
  const words = ['-x', '-H', ldapiUrl(directory), '-D', dn, '-w', password, '-e', 'relax']
  const { code, stderr } = await run(join(dirname(part('ldapsearch')), 'ldapmodify'), words, { input: ldif })
  if (code !== 0) throw new Error(`ldapmodify failed: ${stderr}`)
}
