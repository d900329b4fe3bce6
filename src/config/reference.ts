/** What people and editors read about the settings, made from the schema: the reference page and the JSON Schema. */
import { environmentName } from './environment.ts'
import { knownKeys, printPath, toJsonSchema } from './keys.ts'
import type { JsonSchema, KnownKey } from './keys.ts'
import { createConfigSchema } from './schema.ts'

const title = 'Wharfgate configuration'

/** The JSON Schema (draft-07) of the configuration file, for editors and charts; without a newline at its end. */
export function configJsonSchema(): string {
  const description =
    'The configuration file of Wharfgate. A key may also come from the environment, so no key is required here that may come from there.'
  return publishedSchema(toJsonSchema(createConfigSchema((path) => path)), title, description)
}

/** A JSON Schema as it is published: without our notes, and with those of them in words that editors show. */
export function publishedSchema({ $schema, ...schema }: JsonSchema, title: string, description: string): string {
  return JSON.stringify({ $schema, title, ...published(schema, false), description }, null, 2)
}

/** Words of ours beside the standard keywords, and those that are printed anew. */
const unpublished = new Set(['unit', 'kind', 'secret', 'unset', 'samples', 'required', 'properties', 'items'])

/** Takes our notes out, gives secrets their twins, and requires nothing that may come from the environment. */
function published(node: JsonSchema, isInList: boolean): JsonSchema {
  const { description = '', unit, samples, required, properties, items } = node
  const result: JsonSchema = { ...node }
  for (const name of unpublished) delete result[name]
  if (typeof unit === 'string') result.description = `${description} Unit: ${unit}.`
  if (Array.isArray(samples)) result.examples = samples
  if (result.type === 'object') delete result.default
  if (isInList && required !== undefined) result.required = required
  if (isNode(items)) result.items = published(items, true)
  if (properties !== undefined) result.properties = Object.fromEntries(publishedProperties(properties, isInList))
  return result
}

function publishedProperties(
  properties: NonNullable<JsonSchema['properties']>,
  isInList: boolean,
): readonly (readonly [string, JsonSchema])[] {
  return Object.entries(properties).flatMap(([name, child]) => {
    if (!isNode(child)) return []
    const twin = { type: 'string', description: `The file that ${name} is read from, instead.` } as const
    const own = [name, published(child, isInList)] as const
    return child['secret'] === true ? [own, [`${name}File`, twin] as const] : [own]
  })
}

function isNode(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The page `docs/reference/configuration.md`. */
export function configReference(): string {
  const known = knownKeys(createConfigSchema((path) => path))
  const tops = known.filter(({ path }) => path.length === 1)
  const sections = tops.map((top) => {
    const isInside = ({ path }: KnownKey): boolean => path[0] === top.path[0]
    return section(top, known.filter(isInside))
  })
  return `${introduction}\n${sections.join('\n')}`
}

const introduction = `# Configuration

<!-- Generated from src/config by \`npm run generate\`; edit the sentences there. -->

One YAML file, given as \`--config FILE\`. The least that works:

\`\`\`yaml
# yaml-language-server: $schema=wharfgate.schema.json
publicUrls: [https://registry.example.org]
upstream: { url: http://127.0.0.1:5000 }
authentication: { htpasswd: { enabled: true, file: htpasswd } }
\`\`\`

* \`wharfgate check --config FILE\` tells everything that is wrong at once, each with line, column and key, and looks
  into the files that are named. \`wharfgate serve\` does not start with a configuration that cannot be used.
* **Unknown keys are refused**, so that a slip of the pen is never a setting that silently stays off.
* **Environment.** Every key can be set by the variable that stands beside it, which wins over the file. Lists and whole
  sections are JSON: \`WHARFGATE_TRUSTED_PROXIES='["10.0.0.0/8"]'\`. An unknown \`WHARFGATE_\` variable is refused, except
  those that Kubernetes sets for Services called \`wharfgate\` or \`wharfgate-...\`.
* **Secrets** can stand in a file of their own, named by the same key with \`File\` at its end, as Docker and Kubernetes
  mount them.
* **Relative paths** start at the folder of the configuration file; without a file, at the working directory.
* **Features** that can be off have \`enabled\`. The other keys of a feature may stay while it is off.
* An editor with a YAML language server completes and checks the file by
  [wharfgate.schema.json](wharfgate.schema.json).
`

function section(top: KnownKey, known: readonly KnownKey[]): string {
  const isSection = top.type === 'section'
  const about = `${top.schema.description ?? ''} As a whole, in JSON: \`${environmentName(top.path) ?? ''}\`.\n\n`
  const table = keyTable(
    known.filter((key) => !isSection || key !== top),
    environmentName,
  )
  return `## ${printPath(top.path)}\n\n${isSection ? about : ''}${table}\n`
}

/**
 * Keys as a table of Markdown.
 *
 * @param variableOf the environment variable of a key, where it has one
 */
export function keyTable(
  known: readonly KnownKey[],
  variableOf: (path: readonly string[]) => string | undefined,
): string {
  const rows = known.map((key) => row(key, variableOf(key.path)))
  return ['| Key | Type | Default | Unit | Meaning |', '|---|---|---|---|---|', ...rows].join('\n')
}

function row(known: KnownKey, name: string | undefined): string {
  const { path, schema } = known
  const keyCell = `\`${printPath(path)}\`${name === undefined ? '' : `<br>\`${name}\``}`
  const unit = typeof schema['unit'] === 'string' ? schema['unit'] : ''
  const cells = [keyCell, typeCell(known), defaultCell(known), unit, schema.description ?? '']
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
}

function typeCell({ type, schema }: KnownKey): string {
  if (typeof schema['kind'] === 'string') return schema['kind']
  if (Array.isArray(schema.enum)) return schema.enum.map((value) => `\`${String(value)}\``).join(', ')
  switch (type) {
    case 'number':
      return `whole number, ${schema.minimum ?? ''} to ${schema.maximum ?? ''}`
    case 'boolean':
      return '`true`, `false`'
    case 'section':
      return 'map'
    case 'list':
    case 'text':
      return type
  }
}

function defaultCell({ path, type, required, schema }: KnownKey): string {
  if (schema.default !== undefined && type !== 'section') return `\`${JSON.stringify(schema.default)}\``
  if (typeof schema['unset'] === 'string') return schema['unset']
  if (!required) return ''
  return schema['secret'] === true ? `required, or \`${path.at(-1) ?? ''}File\`` : 'required'
}
