/** The page `docs/reference/policies.md`, made from the schema, the roles and the table of patterns. */
import { builtInRoles } from '../src/authorization/roles.ts'
import { policyKeyTable } from '../src/config/policy-reference.ts'
import { patternTable } from './policy-pattern-table.ts'

const code = (texts: readonly string[]): string => texts.map((text) => `\`${text}\``).join(', ')

const roleRows = Object.entries(builtInRoles).map(([name, actions]) => `| \`${name}\` | ${code(actions)} |`)

const patternRows = patternTable.map(({ pattern, matches, misses }) => {
  return `| \`${pattern}\` | ${code(matches)} | ${code(misses.filter((name) => name !== 'x-'))} |`
})

export function policyReference(): string {
  return `# Policies

<!-- Generated from src/config/policy-document.ts and tools/policy-reference.ts by \`npm run generate\`; edit the sentences there. -->

Who may do what, in which repositories. A policy is one file, or all files in \`.yaml\` of a folder together
(\`authorization.policies\`); files in \`.cases.yaml\` and hidden files are not part of it.

\`\`\`yaml
# yaml-language-server: $schema=policies.schema.json
rules:
  - allow: writer
    to: group:developers
    on: team/**
  - deny: push
    to: authenticated
    except: user:ci
    on: prod/**
    message: releases go through ci
groups:
  developers: [alice, bob]
\`\`\`

* **Deny beats allow, and what no rule allows is refused.** The order of rules and files does not matter.
* A rule meets when the principal is one of \`to\` (and none of \`except\`), the repository matches a pattern of \`on\`, and
  every condition of \`when\` holds.
* \`wharfgate check\` tells everything that is wrong at once, each with line and column, and rules that change nothing. A
  policy with a fault, without a rule, or that is missing is refused: at the start the gateway does not start, later the
  last good policy stays in force.
* \`GET /v2/\` needs a login and no rule, so that a login can be tried before there is one.
* An editor with a YAML language server completes and checks the files by [policies.schema.json](policies.schema.json).

## Actions and roles

| Action | What it is |
|---|---|
| \`pull\` | read manifests, blobs, tags and referrers; be the source of a cross-repository mount. What may be pulled may be listed |
| \`push\` | uploads from start to cancel, manifests, tags. HEAD of manifests and blobs needs \`pull\` or \`push\`, since clients look before they push |
| \`delete\` | delete manifests, tags and blobs |
| \`list\` | see the name in the catalog; denying it hides a repository that can be pulled nevertheless |
| \`overwrite\` | move or delete a protected tag; by itself it allows neither pushing nor deleting |

| Role | Actions |
|---|---|
${roleRows.join('\n')}

Own roles are made under \`roles\`. A role in a \`deny\` denies each of its actions.

## Subjects

| Subject | Who |
|---|---|
| \`user:NAME\` | the user of that name, whichever backend knows it |
| \`group:NAME\` | users whom the login or \`groups\` of the policy puts in that group |
| \`authenticated\` | everyone who has logged in |
| \`anonymous\` | everyone who has not; nobody else, so that what is for everyone is for \`[anonymous, authenticated]\` |

Names are compared as they are, letter by letter; there are no wildcards in them. Only the whole name of a group of a directory
(\`group:cn=developers,ou=groups,dc=example,dc=org\`) is the same one however it is written.

## Patterns of repositories

\`*\` is any run of characters within one segment; alone in its segment it is one whole segment. \`**\` stands alone in its
segment and is one segment or more. Everything else is itself. A pattern is always the whole name, and case counts. What no
repository name can hold is a fault, not a pattern that matches nothing.

\`\${user}\` is the name of the user, \`\${group}\` each group of the user in turn (in one pattern always the same). They are
plain text: a name that cannot itself be a segment of a repository name (\`*\`, \`a/b\`, \`..\`, \`Team\`) makes the pattern match
nothing for that user, in rules that allow and in rules that deny. In quotes, since YAML reads \`*\` and \`{\` as its own.

For the user \`alice\` in the groups \`web\` and \`ops\`:

| Pattern | matches | does not match |
|---|---|---|
${patternRows.join('\n')}

## Tags

In patterns of tags \`*\` is any run of characters. With \`when.tags\`

| | a rule that allows | a rule that denies |
|---|---|---|
| names a tag (a manifest by its tag; each \`tag=\` of a PUT by digest, all of which have to be allowed) | meets where the tag matches | meets where the tag matches |
| can name none (blobs, uploads, listings, manifests by digest) | meets, else no push could work | does not meet |
| may touch any (a manifest deleted by its digest, a blob deleted) | meets only with \`tags: ["*"]\` | meets |

So \`when.tags\` on a rule that allows pulling does not keep anyone from pulling by digest what another tag names.

## Protected tags

A tag under \`protectedTags\` may be created by whoever may push, and moved or deleted only by who has \`overwrite\` there
besides \`push\` or \`delete\`. Pushing the same content again is no move. Where a repository has protected tags, deleting a
manifest by its digest or a blob needs \`overwrite\` too, since it may take a protected tag along. The tags that clients make of
a digest (\`sha256-<64 hex>\`, also with \`.sig\`, \`.att\`, \`.sbom\`) are never protected.

## Conditions

Every condition of \`when\` has to hold. Of an address that is not known, rules that allow do not meet and rules that deny do.
Hours that end before they begin (\`from: "22:00"\`, \`until: "06:00"\`) belong to the day on which they begin. Instants
count from \`notBefore\` up to and including \`notAfter\`.

## Messages

A refused user reads who may not do what, where, and the \`message\` of the rule that denies:
\`alice may not push to prod/api: releases go through ci\`. Where no rule denies, it is the message of the rule that almost
allows: among rules for this repository that have a message, the one that lacks least.

## Limits

A file is at most 1 MiB, a folder at most 1000 files, a list 1000 items (a group 10,000 users), and the pairs of a subject and
a pattern of all rules together 250,000. A decision takes microseconds, among ten thousand rules too. Only rules of the same
subject, pattern and action that differ in their conditions or exceptions are tried one by one, some ten of them in a
microsecond, and \`\${group}\` is tried for each group of the user.

Loading takes a tenth to a third of a second for a thousand rules, and nobody is answered meanwhile: at the start, and when a file
has changed; files that say what they said are not loaded again. Ten thousand rules, which is one to three seconds, are usually
a few with groups, wildcards and \`\${user}\`. What is probably not meant the gateway looks for in small policies alone (at most
500 pairs, with the groups counted in); \`wharfgate check\` looks for it in all.

## Keys

${policyKeyTable()}
`
}
