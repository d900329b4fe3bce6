/** The page `docs/reference/policy-cases.md`, made from the schema of files of cases. */
import { policyCasesKeyTable } from '../src/config/policy-cases-reference.ts'

export function policyCasesReference(): string {
  return `# Cases of policies

<!-- Generated from src/config/policy-cases.ts and tools/policy-cases-reference.ts by \`npm run generate\`; edit the sentences there. -->

What a policy is expected to decide: its test. Files in \`.cases.yaml\` beside the [policies](policies.md) are asked by
\`wharfgate policy test\` and by \`wharfgate check\`, never by a running gateway. Those of a folder of policies stand in that folder;
those of the single policy \`prod.yaml\` are \`prod.cases.yaml\`.

\`\`\`yaml
# yaml-language-server: $schema=policy-cases.schema.json
cases:
  - user: [alice, bob]
    groups: [developers]
    may: [pull, push]
    on: [team/app, team/app:v1]
  - user: bob
    may: pull
    mayNot: push
    on: prod/api:v1
    message: releases go through ci
  - anonymous: true
    mayNot: [pull, list]
    on: team/app
\`\`\`

* Each case stands for itself. It asks for every user, every action and every target of it, and each answer is one decision.
* A target with a tag asks for that tag. One without asks for what names none, a blob or an upload for instance.
* A case that does not hold is told with its file, line and column and with the rule that decided. \`wharfgate policy explain\` tells
  more of it.
* What is not said is not known: without \`address\` no condition on it lets anybody in, without \`at\` the time is now.
* An editor with a YAML language server completes and checks the files by
  [policy-cases.schema.json](policy-cases.schema.json).

A file is at most 1 MiB, a list 1000 items (\`user\` 100), and one file asks for at most 100,000 decisions.

## Keys

${policyCasesKeyTable()}
`
}
