import { connect as connectTcp, isIP } from 'node:net'
import type { Socket } from 'node:net'
import { checkServerIdentity, connect as connectTls, TLSSocket } from 'node:tls'
import type { DetailedPeerCertificate } from 'node:tls'
import { BindRequest, ExtendedRequest, PagedResultsControl, PasswordPolicyControl, SearchRequest } from 'ldapts'
import type { Filter } from 'ldapts'
import type { LdapScope, LdapServer } from '../../config/ldap-settings.ts'
import type { Clock } from '../clock.ts'
import { readCookie, readPolicyError } from './answer.ts'
import type { LdapEntry, LdapResult } from './answer.ts'
import { connectFault, describe } from './fault-sentences.ts'
import { LdapError } from './ldap-error.ts'
import { createWire } from './wire.ts'
import type { Wire } from './wire.ts'

/** What a search asks for. */
export type LdapSearch = {
  readonly base: string
  readonly scope: LdapScope
  readonly filter: Filter
  readonly attributes: readonly string[]
  /** The server is asked to stop there; one that does not loses the connection a little later. */
  readonly sizeLimit: number
  /** Asks for a page of `sizeLimit` entries (RFC 2696), the first or the one behind a cookie. */
  readonly page?: { readonly cookie?: Buffer }
}

export type LdapSearchReply = LdapResult & {
  readonly entries: readonly LdapEntry[]
  readonly references: number
  /** Where the next page begins; nothing after the last. */
  readonly cookie?: Buffer
}

export type LdapBindReply = LdapResult & {
  /** What the password policy of the directory says besides; 2: the password must be changed first. */
  readonly policyError?: number
}

/** A connection that may carry passwords; nothing else has this type. */
export type LdapConnection = {
  readonly server: LdapServer
  /** Of an encrypted connection: the version of TLS, and the certificate with those that vouch for it. */
  readonly tls?: { readonly protocol: string; readonly certificate: DetailedPeerCertificate }
  /** Binds by name and password; whoever was bound before is not any more. @throws LdapError */
  bind(name: string, password: string): Promise<LdapBindReply>
  /** @throws LdapError */
  search(search: LdapSearch): Promise<LdapSearchReply>
  /** Who is bound, as the server sees it: `dn:...` or `u:...` (RFC 4532). @throws LdapError */
  whoAmI(): Promise<LdapResult & { readonly identity: string }>
  isOpen(): boolean
  close(): void
}

export type ConnectionOptions = {
  /** PEM of the authorities that may vouch for the server; those of Node.js where it is not given. */
  readonly ca?: string
  /** The name that the certificate is checked for, where it is not the host. */
  readonly serverName?: string
  /** Whether passwords may cross a network in clear. */
  readonly allowInsecure: boolean
  readonly operationTimeoutMs: number
  readonly clock: Clock
}

/** What a socket must be for a password to be written to it; only {@link isProtected} says so. */
type ProtectedSocket = Socket & { readonly [protectedMark]: true }
declare const protectedMark: unique symbol

const startTlsOid = '1.3.6.1.4.1.1466.20037'
const whoAmIOid = '1.3.6.1.4.1.4203.1.11.3'
const policyOid = '1.3.6.1.4.1.42.2.27.8.5.1'
const keepAliveMs = 30_000
/** Behind the limit that a server was given, so that one that is off by a few is no fault. */
const entriesToSpare = 10

/**
 * Opens a connection: TCP, then TLS where it is configured, with the certificate checked for the name of the server, all
 * within `connectTimeoutMs`. Nothing but a request for StartTLS is ever said before TLS stands.
 *
 * @throws LdapError
 */
export async function openConnection(
  server: LdapServer,
  connectTimeoutMs: number,
  options: ConnectionOptions,
): Promise<LdapConnection> {
  const sockets: Socket[] = []
  const dropAll = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  const late = { is: false }
  const cancel = options.clock.after(connectTimeoutMs, () => {
    late.is = true
    dropAll()
  })
  const hold: Hold = (socket) => {
    sockets.push(socket)
    // Whoever waits for the socket hears of its errors too; one that comes when nobody does must not end the process.
    socket.on('error', () => undefined)
    return socket
  }
  try {
    return await open(server, options, hold)
  } catch (error) {
    dropAll()
    if (!late.is) throw connectFault(server, error)
    const waited = `within ${connectTimeoutMs} ms (authentication.ldap.connectTimeoutMs)`
    throw new LdapError('connectTimeout', `no connection to ${server.url} stood ${waited}`, { cause: error })
  } finally {
    cancel()
  }
}

type Hold = <Opened extends Socket>(socket: Opened) => Opened

async function open(server: LdapServer, options: ConnectionOptions, hold: Hold): Promise<LdapConnection> {
  const { host, port, protection } = server
  const plain = hold(connectTcp({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveMs }))
  await isReady(plain, 'connect')
  if (protection === 'none') return connectionOver(server, plain, options)
  if (protection === 'startTls') await askForTls(server, plain, options)
  const name = options.serverName ?? host
  const secure = hold(
    connectTls({
      socket: plain,
      host: name,
      // A name for the server to choose its certificate by; an address must not stand there (RFC 6066 section 3).
      ...(isIP(name) === 0 ? { servername: name } : {}),
      ...(options.ca === undefined ? {} : { ca: options.ca }),
      rejectUnauthorized: true,
      minVersion: 'TLSv1.2',
      // Node would take the name from options that a socket of its own may lack; this one is checked whatever happens.
      checkServerIdentity: (_, certificate) => checkServerIdentity(name, certificate),
    }),
  )
  await isReady(secure, 'secureConnect')
  return connectionOver(server, secure, options)
}

/** Waits for an event of a socket that ends otherwise if it does not come. */
async function isReady(socket: Socket, event: 'connect' | 'secureConnect'): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const onClose = (): void => {
      reject(new Error('the server closed the connection'))
    }
    socket.once('error', reject)
    socket.once('close', onClose)
    socket.once(event, () => {
      socket.off('error', reject)
      socket.off('close', onClose)
      resolve()
    })
  })
}

/** RFC 4511 section 4.14. Whatever is not a plain yes, alone, ends the connection. */
async function askForTls(server: LdapServer, socket: Socket, { operationTimeoutMs, clock }: ConnectionOptions) {
  const wire = createWire({ socket, name: server.url, operationTimeoutMs, clock })
  const request = (messageId: number) => new ExtendedRequest({ messageId, oid: startTlsOid })
  const { result } = await wire.exchange(request, 'extended', 0)
  wire.release()
  if (result.code !== 0)
    throw new LdapError(
      'startTlsRefused',
      `${server.url} refuses StartTLS: ${describe(result)}; nothing was sent in clear`,
      {
        resultCode: result.code,
      },
    )
}

/** The only maker of a connection, and so the only way to a bind. */
function connectionOver(server: LdapServer, socket: Socket, options: ConnectionOptions): LdapConnection {
  const { operationTimeoutMs, clock } = options
  if (!isProtected(socket, server, options.allowInsecure)) {
    const cure = 'write ldaps://, or startTls: true in authentication.ldap'
    throw new LdapError(
      'clearText',
      `the connection to ${server.url} is not encrypted, so no password goes over it; ${cure}`,
    )
  }
  const wire = createWire({ socket, name: server.url, operationTimeoutMs, clock })
  const tls = socket instanceof TLSSocket ? tlsOf(socket) : undefined
  return {
    server,
    ...(tls === undefined ? {} : { tls }),
    bind: (name, password) => bind({ wire, server, socket, options }, name, password),
    search: (search) => searchOver(wire, search),
    whoAmI: async () => {
      const request = (messageId: number) => new ExtendedRequest({ messageId, oid: whoAmIOid })
      const { result, value } = await wire.exchange(request, 'extended', 0)
      return { ...result, identity: value?.toString('utf8') ?? '' }
    },
    isOpen: () => wire.isOpen(),
    close: () => {
      wire.close()
    },
  }
}

/** Whether passwords may go over a connection that stands; the only maker of a {@link ProtectedSocket}. */
export function isProtected(socket: Socket, server: LdapServer, allowInsecure: boolean): socket is ProtectedSocket {
  if (server.protection !== 'none') return socket instanceof TLSSocket && socket.authorized
  return allowInsecure || isLoopback(socket.remoteAddress ?? '')
}

/** The address that answered, whatever name led there. */
function isLoopback(address: string): boolean {
  return address === '::1' || /^(::ffff:)?127\./i.test(address)
}

function tlsOf(socket: TLSSocket): { readonly protocol: string; readonly certificate: DetailedPeerCertificate } {
  return { protocol: socket.getProtocol() ?? '', certificate: socket.getPeerCertificate(true) }
}

type Binding = {
  readonly wire: Wire
  readonly server: LdapServer
  readonly socket: ProtectedSocket
  readonly options: ConnectionOptions
}

async function bind(
  { wire, server, socket, options }: Binding,
  name: string,
  password: string,
): Promise<LdapBindReply> {
  // An empty one is an anonymous bind that succeeds, whoever the name is of (RFC 4513 section 5.1.2).
  if (name === '' || password === '') throw new LdapError('bindRefused', 'a bind needs a name and a password')
  if (!isProtected(socket, server, options.allowInsecure))
    throw new LdapError(
      'clearText',
      `the connection to ${server.url} is not encrypted any more, so no password goes over it`,
    )
  const controls = [new PasswordPolicyControl()]
  const request = (messageId: number) => new BindRequest({ messageId, dn: name, password, controls })
  const exchange = await wire.exchange(request, 'bind', 0)
  const policyError = readPolicyError(exchange.controls.get(policyOid))
  return { ...exchange.result, ...(policyError === undefined ? {} : { policyError }) }
}

async function searchOver(wire: Wire, search: LdapSearch): Promise<LdapSearchReply> {
  const { base, scope, filter, attributes, sizeLimit, page } = search
  const controls = page === undefined ? [] : [pageControl(sizeLimit, page.cookie)]
  const request = (messageId: number) =>
    new SearchRequest({
      ...{ messageId, baseDN: base, scope, filter, attributes: [...attributes], controls },
      // Of all pages together where there are pages, so it stays out of their way.
      sizeLimit: page === undefined ? sizeLimit : 0,
      timeLimit: 0,
    })
  const {
    result,
    entries,
    references,
    controls: answered,
  } = await wire.exchange(request, 'search', page === undefined ? sizeLimit + entriesToSpare : maxPageEntries)
  const cookie = readCookie(answered.get(PagedResultsControl.type))
  return { ...result, entries, references, ...(cookie === undefined || cookie.length === 0 ? {} : { cookie }) }
}

/** What a server that cannot page may send at once. */
const maxPageEntries = 20_000

function pageControl(size: number, cookie: Buffer | undefined): PagedResultsControl {
  return new PagedResultsControl({ value: { size, ...(cookie === undefined ? {} : { cookie }) } })
}
