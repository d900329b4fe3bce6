/** One operation that slapd was asked for, as its stats log (`-d stats`) tells it. */
export type LdapOperation = {
  /** Names the connection over all restarts: `RUN/NUMBER`. */
  readonly connection: string
  /** Port of the server that it came in by. */
  readonly port: number
  /** Whether TLS stood when the operation came. */
  readonly isEncrypted: boolean
  /** Lower case as the log has it in upper case: `bind`, `srch`, `ext`, `unbind`, `abandon`, `mod` ... */
  readonly kind: string
  /** Of a bind. */
  readonly dn?: string
  /** Of a search. */
  readonly base?: string
  readonly scope?: number
  readonly filter?: string
  readonly attributes?: readonly string[]
  /** RFC 4511 result code; undefined while it is not answered, and for what is never answered. */
  readonly resultCode?: number
  /** How many entries a search gave. */
  readonly entries?: number
}

/** One connection over TCP. */
export type LdapConnection = {
  readonly id: string
  readonly port: number
  readonly isEncrypted: boolean
  readonly isClosed: boolean
}

/** Everything that came over TCP; what the test asked over the unix socket is left out. */
export type LdapTraffic = {
  readonly connections: readonly LdapConnection[]
  /** In the order in which they were taken up. */
  readonly operations: readonly LdapOperation[]
}

type Mutable<Value> = { -readonly [Key in keyof Value]: Value[Key] }

/** What follows `conn=NUMBER` on a line. */
const lines = {
  closed: /^fd=\d+ closed/,
  tls: /^fd=\d+ TLS established/,
  bind: /^op=(\d+) BIND dn="(.*)" method=\d+$/,
  search: /^op=(\d+) SRCH base="(.*)" scope=(\d) deref=\d filter="(.*)"$/,
  attributes: /^op=(\d+) SRCH attr=(.*)$/,
  result: /^op=(\d+) (?:SEARCH )?RESULT (?:oid=\S* |tag=\d+ )?err=(\d+)(?:.*nentries=(\d+))?/,
  other: /^op=(\d+) (EXT|UNBIND|ABANDON|MOD|ADD|DEL|MODRDN|CMP)\b/,
}

/**
 * Reads what slapd wrote in its run of that number (runs count from 1, connections of each from 1000). `unanswered` are
 * the binds and searches on open connections whose answer it does not tell of.
 */
export function parseLdapLog(text: string, run: number): LdapTraffic & { readonly unanswered: number } {
  const connections = connectionsIn(text, run)
  const byNumber = new Map<string, Mutable<LdapOperation>>()
  const operations: LdapOperation[] = []
  for (const [, number = '', rest = ''] of text.matchAll(/ conn=(\d+) (.*)$/gm)) {
    const id = `${String(run)}/${number}`
    const connection = connections.get(id)
    if (connection === undefined) continue
    if (lines.tls.test(rest)) connection.isEncrypted = true
    if (lines.closed.test(rest)) connection.isClosed = true
    const asked = readRequest(rest)
    if (asked !== undefined) {
      const { port, isEncrypted } = connection
      const operation = { connection: id, port, isEncrypted, ...asked.operation }
      byNumber.set(`${number} ${asked.number}`, operation)
      operations.push(operation)
    }
    noteAnswer(rest, (operation) => byNumber.get(`${number} ${operation}`))
  }
  const unanswered = operations.filter(
    ({ connection, kind, resultCode }) =>
      resultCode === undefined && ['bind', 'srch'].includes(kind) && connections.get(connection)?.isClosed === false,
  ).length
  return { connections: [...connections.values()], operations, unanswered }
}

/** Read first of all: another thread writes their lines, at times after that of the first operation. */
function connectionsIn(text: string, run: number): Map<string, Mutable<LdapConnection>> {
  const accepted = text.matchAll(/ conn=(\d+) fd=\d+ ACCEPT from IP=\S+ \(IP=\S+:(\d+)\)/g)
  return new Map(
    [...accepted].map(([, number = '', port]) => {
      const id = `${String(run)}/${number}`
      return [id, { id, port: Number(port), isEncrypted: false, isClosed: false }]
    }),
  )
}

/** Adds what a later line tells about an operation. */
function noteAnswer(line: string, find: (operation: string) => Mutable<LdapOperation> | undefined): void {
  const [, searched = '', attributes = ''] = lines.attributes.exec(line) ?? []
  const search = find(searched)
  if (search !== undefined) search.attributes = attributes.split(' ')
  const [, answered = '', code, entries] = lines.result.exec(line) ?? []
  const operation = find(answered)
  if (operation === undefined) return
  operation.resultCode = Number(code)
  if (entries !== undefined) operation.entries = Number(entries)
}

/** How many connections, binds and searches there were. */
export function countTraffic({ connections, operations }: LdapTraffic): {
  readonly connections: number
  readonly binds: number
  readonly searches: number
} {
  const count = (wanted: string): number => operations.filter(({ kind }) => kind === wanted).length
  return { connections: connections.length, binds: count('bind'), searches: count('srch') }
}

type Asked = { readonly number: string; readonly operation: Pick<LdapOperation, 'kind'> & Partial<LdapOperation> }

function readRequest(line: string): Asked | undefined {
  const bind = lines.bind.exec(line)
  if (bind !== null) return { number: bind[1] ?? '', operation: { kind: 'bind', dn: bind[2] ?? '' } }
  const search = lines.search.exec(line)
  if (search !== null) {
    const [, number = '', base = '', scope, filter = ''] = search
    return { number, operation: { kind: 'srch', base, scope: Number(scope), filter } }
  }
  const other = lines.other.exec(line)
  return other === null ? undefined : { number: other[1] ?? '', operation: { kind: (other[2] ?? '').toLowerCase() } }
}
