/**
 * Writes the files that are made from the sources, or with `--check` compares them: exit 1 names what is stale.
 * A further generated file is one more row of `generated`.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { format, resolveConfig } from 'prettier'
import { policyCasesJsonSchema } from '../src/config/policy-cases-reference.ts'
import { policyJsonSchema } from '../src/config/policy-reference.ts'
import { configJsonSchema, configReference } from '../src/config/reference.ts'
import { errorTable } from '../src/registry/error.ts'
import { auditReference } from '../src/telemetry/audit-line.ts'
import { metricsReference } from '../src/telemetry/metrics-reference.ts'
import { commandsReference } from './commands-reference.ts'
import { policyCasesReference } from './policy-cases-reference.ts'
import { policyReference } from './policy-reference.ts'

type Generated = {
  /** Path from the top of the repository. */
  readonly file: string
  readonly content: () => string
}

const generated: readonly Generated[] = [
  { file: 'docs/reference/configuration.md', content: configReference },
  { file: 'docs/reference/wharfgate.schema.json', content: configJsonSchema },
  { file: 'docs/reference/policies.md', content: policyReference },
  { file: 'docs/reference/policies.schema.json', content: policyJsonSchema },
  { file: 'docs/reference/policy-cases.md', content: policyCasesReference },
  { file: 'docs/reference/policy-cases.schema.json', content: policyCasesJsonSchema },
  { file: 'docs/reference/commands.md', content: commandsReference },
  { file: 'docs/reference/errors.md', content: errorReference },
  { file: 'docs/reference/metrics.md', content: metricsReference },
  { file: 'docs/reference/audit.md', content: auditReference },
]

/** The page of the error table. */
function errorReference(): string {
  const sources = {
    client: 'the client',
    upstream: 'the operator of the registry',
    gateway: 'the operator of the gateway',
  }
  const rows = Object.entries(errorTable).map(([id, { code, status, source, sentence, reason, retryAfterSeconds }]) => {
    const retry = retryAfterSeconds === undefined ? '' : `${retryAfterSeconds} s`
    return `| \`${id}\` | ${status} | \`${code}\` | ${sentence} | ${reason} | ${retry} | ${sources[source]} |`
  })
  return `# Errors

<!-- Generated from src/registry/error.ts by \`npm run generate\`; edit the sentences there. -->

Every error is answered with the envelope of the distribution specification, as \`application/json\`:

\`\`\`json
{"errors":[{"code":"DENIED","message":"the sentence","detail":"request id 0f9a..."}]}
\`\`\`

\`detail\` ends with the request id, which also stands in \`X-Request-Id\`, in the log and in the audit line. The reason
phrase stands in the status line, because some clients show nothing else; \`errors.reasonPhrase: false\` leaves the
standard words. Where a policy refuses, its sentence stands in the brackets, as visible ASCII, 160 characters of the phrase
at most. Logs and metrics name an error by its id.

| Id | Status | Code | Sentence | Reason phrase | \`Retry-After\` | Who has to act |
|---|---|---|---|---|---|---|
${rows.join('\n')}
`
}

const root = join(dirname(fileURLToPath(import.meta.url)), '..')

/** What the file should hold; JSON in the form that the format check wants. */
async function contentOf({ file, content }: Generated): Promise<string> {
  if (!file.endsWith('.json')) return content()
  return format(content(), { ...(await resolveConfig(join(root, file))), filepath: file })
}

async function isFresh(file: string, content: string): Promise<boolean> {
  try {
    return (await readFile(join(root, file), 'utf8')) === content
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false
    throw error
  }
}

const isCheck = process.argv.includes('--check')
for (const entry of generated) {
  const content = await contentOf(entry)
  if (await isFresh(entry.file, content)) continue
  if (isCheck) {
    process.stderr.write(`${entry.file} is not what its sources say; run: npm run generate\n`)
    process.exitCode = 1
  } else {
    await mkdir(dirname(join(root, entry.file)), { recursive: true })
    await writeFile(join(root, entry.file), content)
    process.stdout.write(`${entry.file} written\n`)
  }
}
