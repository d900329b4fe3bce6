import { actionOf } from '../registry/access.ts'
import type { Access } from '../registry/access.ts'
import type { ErrorId } from '../registry/error.ts'
import type { AuthenticationMethod } from '../registry/principal.ts'
import type { RegistryRequest } from '../registry/route.ts'
import type { TransferOutcome } from '../registry/transfer.ts'
import type { ExchangeRecord } from './exchange-record.ts'
import type { RouteLabel } from './labels.ts'
import { printable, printablePath } from './printable.ts'

/** One line of the audit. Every field is always there; what does not apply is null. */
export type AuditLine = {
  readonly time: string
  readonly requestId: string
  readonly user: string | null
  readonly groups: readonly string[] | null
  readonly anonymous: boolean
  readonly authentication: AuthenticationMethod | null
  readonly attemptedUser: string | null
  readonly clientAddress: string
  readonly userAgent: string | null
  readonly method: string
  readonly route: RouteLabel
  readonly path: string | null
  readonly action: Access['anyOf'][number] | null
  readonly repository: string | null
  readonly reference: string | null
  readonly digest: string | null
  readonly tags: readonly string[] | null
  readonly mountFrom: string | null
  readonly mountOrigin: string | null
  readonly required: readonly string[] | null
  readonly policy: string | null
  readonly policyGeneration: number | null
  readonly rule: string | null
  readonly shadowDecision: 'granted' | 'refused' | null
  readonly decision: 'granted' | 'refused' | 'none'
  readonly mountRemoved: boolean
  readonly protectedTags: readonly string[] | null
  readonly bucket: string | null
  readonly status: number | null
  readonly errorId: ErrorId | null
  readonly bytesUp: number
  readonly bytesDown: number
  readonly durationMs: number
  readonly outcome: TransferOutcome
}

type FieldDocumentation = { readonly type: string; readonly sentence: string }

/** The reference of the audit, in the order of the line; the type makes it complete. */
export const auditFields: Readonly<Record<keyof AuditLine, FieldDocumentation>> = {
  time: { type: 'text', sentence: 'When the exchange began: RFC 3339, UTC, milliseconds.' },
  requestId: { type: 'text', sentence: 'The same as in `X-Request-Id`, the error body and the log.' },
  user: { type: 'text or null', sentence: 'Canonical name of the user; null when nobody was authenticated.' },
  groups: {
    type: 'list or null',
    sentence: 'Groups that the login brought; those that the policies add are not among them. Null without a user.',
  },
  anonymous: { type: 'boolean', sentence: 'Whether the request was let in without a login.' },
  authentication: { type: 'text or null', sentence: 'How the user proved who they are, such as `htpasswd`.' },
  attemptedUser: {
    type: 'text or null',
    sentence:
      'The user whose login failed: only where that user exists, because people type passwords into the field for the name.',
  },
  clientAddress: { type: 'text', sentence: 'Address of the client, after trusted proxies.' },
  userAgent: {
    type: 'text or null',
    sentence: 'As the client named itself: at most 256 characters, without control characters. Not to be trusted.',
  },
  method: { type: 'text', sentence: 'HTTP method; at most 256 characters where it is none that is known.' },
  route: {
    type: 'text',
    sentence: 'What was asked for, in the words of the metrics’ `route`; `other` for a target that did not parse.',
  },
  path: {
    type: 'text or null',
    sentence: 'Only for a target that did not parse: its path without the query, at most 256 characters.',
  },
  action: {
    type: 'text or null',
    sentence: '`pull`, `push`, `delete`, `list` (the catalog) or `ping` (`GET /v2/`); null where `route` is `other`.',
  },
  repository: { type: 'text or null', sentence: 'Repository of the request.' },
  reference: { type: 'text or null', sentence: 'Tag or digest by which a manifest was named.' },
  digest: { type: 'text or null', sentence: 'Digest that the request named: of a manifest, blob, referrers or mount.' },
  tags: { type: 'list or null', sentence: 'Further tags that a PUT of a manifest by digest set.' },
  mountFrom: { type: 'text or null', sentence: 'Repository from which the client asked to mount a blob.' },
  mountOrigin: {
    type: 'text or null',
    sentence: 'Host on which, as the client says, that repository is; at most 256 characters. Not to be trusted.',
  },
  required: {
    type: 'list or null',
    sentence: 'What the request needed, as `type:name:action`, actions of which one is enough joined by `|`.',
  },
  policy: { type: 'text or null', sentence: 'Name of the policy that decided.' },
  policyGeneration: {
    type: 'number or null',
    sentence: 'Which version of the policies decided, counted since the start.',
  },
  rule: {
    type: 'text or null',
    sentence:
      'The rule that decided, as `file:line`; null where no rule met, which is a refusal, or a login was enough.',
  },
  shadowDecision: {
    type: 'text or null',
    sentence: 'What the shadow policy would have decided, `granted` or `refused`; null without one.',
  },
  decision: {
    type: 'text',
    sentence: '`granted` or `refused` by the policy; `none` when the exchange ended before it was asked.',
  },
  mountRemoved: {
    type: 'boolean',
    sentence: 'Whether a mount that the user may not make became an ordinary upload.',
  },
  protectedTags: {
    type: 'list or null',
    sentence:
      'Tags that a granted PUT set and might create but not move: it was refused (`tagProtected`) where one named other content. Null where there were none.',
  },
  bucket: {
    type: 'text or null',
    sentence: 'The bucket of the rate limits that was full and refused the request, by its name in the configuration.',
  },
  status: {
    type: 'number or null',
    sentence: 'HTTP status that was sent; null when the connection broke before a response began.',
  },
  errorId: { type: 'text or null', sentence: 'Row of the error table that was answered or that ended the exchange.' },
  bytesUp: { type: 'number', sentence: 'Bytes of the request body that went upstream.' },
  bytesDown: { type: 'number', sentence: 'Bytes of the response body that went to the client.' },
  durationMs: { type: 'number', sentence: 'Whole duration, transfers included, in milliseconds.' },
  outcome: {
    type: 'text',
    sentence: '`complete`, `aborted-by-client`, `aborted-by-upstream` or `aborted-by-gateway`.',
  },
}

/** Makes the line of an exchange. Nothing of the query, the headers or the body of the request is in it. */
export function auditLine(exchange: ExchangeRecord): AuditLine {
  const { request, principal, decision, userAgent } = exchange
  const user = principal?.kind === 'user' ? principal : undefined
  const attempted = exchange.error?.attemptedUser
  return {
    time: new Date(exchange.startedAtMs).toISOString(),
    requestId: exchange.requestId,
    user: user === undefined ? null : printable(user.name),
    groups: user?.groups.map(printable) ?? null,
    anonymous: principal?.kind === 'anonymous' && decision?.kind === 'granted',
    authentication: user?.method ?? null,
    attemptedUser: attempted === undefined ? null : printable(attempted),
    clientAddress: exchange.clientAddress,
    userAgent: userAgent === undefined ? null : printable(userAgent),
    method: printable(exchange.method),
    route: request?.kind ?? 'other',
    path: request === undefined ? printablePath(exchange.path) : null,
    action: request === undefined ? null : actionOf(request),
    ...subjectOf(request),
    required: decision?.required.map(printAccess) ?? null,
    policy: decision?.policy ?? null,
    policyGeneration: decision?.policyGeneration ?? null,
    rule: decision?.rule ?? null,
    shadowDecision: decision?.shadowDecision ?? null,
    decision: decision?.kind ?? 'none',
    mountRemoved: decision?.mountRemoved ?? false,
    protectedTags: listOrNull(decision?.protectedTags ?? []),
    bucket: exchange.error?.bucket ?? null,
    status: exchange.status ?? null,
    errorId: exchange.error?.id ?? null,
    bytesUp: exchange.bytesUp,
    bytesDown: exchange.bytesDown,
    durationMs: Math.round(exchange.durationMs * 10) / 10,
    outcome: exchange.outcome,
  }
}

/** What of the registry a request was about. */
export type Subject = Pick<AuditLine, 'repository' | 'reference' | 'digest' | 'tags' | 'mountFrom' | 'mountOrigin'>

const nothing: Subject = {
  repository: null,
  reference: null,
  digest: null,
  tags: null,
  mountFrom: null,
  mountOrigin: null,
}

/** Tells what a request is about, for the audit and the log. */
export function subjectOf(request: RegistryRequest | undefined): Subject {
  switch (request?.kind) {
    case undefined:
    case 'base':
    case 'catalog':
      return nothing
    case 'tags':
    case 'upload-session':
      return { ...nothing, repository: request.repository }
    case 'manifest': {
      const { repository, reference, tags } = request
      const named = reference.kind === 'tag' ? reference.tag : reference.digest
      const digest = reference.kind === 'tag' ? null : reference.digest
      return { ...nothing, repository, reference: named, digest, tags: listOrNull(tags) }
    }
    case 'blob':
    case 'referrers':
      return { ...nothing, repository: request.repository, digest: request.digest }
    case 'upload-start': {
      const { repository, mount } = request
      const digest = request.digest ?? mount?.digest ?? null
      const mountOrigin = mount?.origin === undefined ? null : printable(mount.origin)
      return { ...nothing, repository, digest, mountFrom: mount?.from ?? null, mountOrigin }
    }
  }
}

function listOrNull(list: readonly string[]): readonly string[] | null {
  return list.length === 0 ? null : list
}

function printAccess({ type, name, anyOf }: Access): string {
  return `${type}:${name}:${anyOf.join('|')}`
}

/** The Markdown page `docs/reference/audit.md`. */
export function auditReference(): string {
  const rows = Object.entries(auditFields).map(
    ([name, { type, sentence }]) => `| \`${name}\` | ${type} | ${sentence} |`,
  )
  return [
    '# Audit reference',
    '',
    '<!-- Generated from src/telemetry/audit-line.ts by `npm run generate`. -->',
    '',
    'With `audit.enabled`, every exchange leaves one JSON object on one line when it ends, whatever happened to it:',
    'refused targets and broken requests have theirs too. `audit.destination` is `stdout` (the log goes to standard',
    'error, so the two never mix) or a file, which is made with mode 0600 and appended to. `wharfgate audit tail` prints',
    'lines for people. [How to keep, rotate and read the audit](../how-to/audit.md).',
    '',
    'Lines come in the order in which exchanges end. Nobody waits for them: up to 10,000 lines or 16 MiB wait in memory,',
    'of which the last tenth is kept for granted pushes and deletes, and what does not fit is counted in',
    '`wharfgate_audit_dropped_total`. A failed write is tried again every 250 ms. Under load lines are written in groups,',
    'every 20 ms, so a process that is killed takes up to that with it; one that is stopped writes what is waiting.',
    '',
    'The audit counts as failed from a write that fails until one succeeds, when a write takes longer than 5 s, and when',
    'half of that room is taken, until three quarters are free. `wharfgate_audit_up` is 0 then, and',
    '`audit.onFailure` decides about requests that the policy has granted, before anything is forwarded: by default',
    'pushes and deletes are answered 503 (`auditUnavailable`), and pulls go on. What was forwarded is never cut off.',
    '',
    'Lines are whole: of one that stopped in the middle (a full disk) the rest is written at the next attempt. What a',
    'crash left without an end is ended at the next start, so that only that one line is broken. A file that was renamed',
    'or removed is noticed before the next line is written, and the path is opened anew.',
    '',
    'Never in a line: passwords, tokens, headers, the query of a request (upload states and signatures stand there), the',
    'name of a failed login that nobody has.',
    '',
    '| field | type | meaning |',
    '|---|---|---|',
    ...rows,
    '',
  ].join('\n')
}
