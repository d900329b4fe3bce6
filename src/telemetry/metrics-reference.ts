import { ldapFaults, ldapOperations, ldapRefusals } from './ldap-labels.ts'
import { labelValues, routeMethods } from './labels.ts'
import { definitions } from './metric-definitions.ts'
import { removedNodeMetrics } from './metrics.ts'

/** Labels that stand for one thing wherever they occur, with what they can be. */
const labelSentences: readonly (readonly [string, string])[] = [
  [
    'route',
    `what was asked for: ${codes(labelValues.route)}; \`other\` is a target that did not parse, and \`/healthz\``,
  ],
  ['method', `${codes(labelValues.method)}; \`OTHER\` is any other`],
  ['code', 'HTTP status; `none` when the connection broke before a response began, `other` for a status that is none'],
  ['id', `row of the error table: ${codes(labelValues.id)}`],
  ['backend', codes(labelValues.backend)],
  ['outcome (logins)', codes(labelValues.outcome)],
  ['result', codes(labelValues.result)],
  ['decision (policies)', codes(labelValues.decision)],
  [
    'decision (limits)',
    `${codes(labelValues.limit)}: counted and let through, as everything in a push that was admitted`,
  ],
  ['decision (lockout)', codes(labelValues.lockout)],
  ['bucket', 'name of the bucket in the configuration'],
  ['fault', codes(labelValues.fault)],
  ['comparison', codes(labelValues.comparison)],
  ['policy', '`live` is enforced, `shadow` is not'],
  ['way', codes(labelValues.way)],
  ['access', codes(labelValues.access)],
  ['verdict (audit)', codes(labelValues.verdict)],
  ['verdict (limits)', codes(labelValues.onStoreError)],
  ['side', codes(labelValues.side)],
  ['reason (handshakes)', codes(labelValues.handshake)],
  ['operation', codes(ldapOperations)],
  ['outcome (directory)', `\`ok\`, \`refused\` (another password), ${codes(ldapFaults)}`],
  ['reason (directory)', codes(ldapRefusals)],
  ['server', 'address of a server in the configuration'],
  ['reason (locks)', codes(labelValues.unshared)],
  ['reason (passwords)', codes(labelValues.hashing)],
  ['reason (connections)', codes(labelValues.refusal)],
  ['name, filename, subject_CN', 'of the certificates in the configuration'],
]

/** The Markdown page `docs/reference/metrics.md`. */
export function metricsReference(): string {
  const rows = Object.values(definitions).map(
    ({ name, type, labels, help }) => `| \`${name}\` | ${type} | ${codes(labels)} | ${help} |`,
  )
  const apiRoutes = Object.keys(routeMethods).length - 1
  return [
    '# Metrics reference',
    '',
    '<!-- Generated from src/telemetry/metric-definitions.ts by `npm run generate`. -->',
    '',
    '`GET /metrics` on the admin port, in the text format of Prometheus. Every label is of a closed set: users,',
    `repositories, tags and addresses are never among them. All ${apiRoutes} routes of the registry API stand there from the`,
    'start, at 0, so that rates and alerts work from the first event on. Who did what stands in the audit.',
    '',
    '| metric | type | labels | meaning |',
    '|---|---|---|---|',
    ...rows,
    '',
    '## Labels',
    '',
    '| label | values |',
    '|---|---|',
    ...labelSentences.map(([label, sentence]) => `| ${label} | ${sentence} |`),
    '',
    '## Node’s own',
    '',
    'Besides these there are `process_*` and `nodejs_*`: CPU, memory, open files, event loop lag, garbage collection.',
    `Left out, because their names break Prometheus’ rules: ${codes(removedNodeMetrics)}.`,
    '',
  ].join('\n')
}

function codes(names: readonly string[]): string {
  return names.map((name) => `\`${name}\``).join(', ')
}
