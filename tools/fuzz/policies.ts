/** Policy files, as people write them and editors leave them, and what is asked of those that load. */
import fc from 'fast-check'
import { evaluate } from '../../src/authorization/evaluate.ts'
import { loadPolicy } from '../../src/authorization/load-policy.ts'
import type { PolicyFile } from '../../src/authorization/load-policy.ts'
import { policyWarnings } from '../../src/authorization/policy-warnings.ts'
import { anonymous } from '../../src/registry/principal.ts'
import type { Principal } from '../../src/registry/principal.ts'
import { parseRegistryRequest } from '../../src/registry/route.ts'
import { mutatedBytes } from './bytes.ts'
import { createFuzzTarget, must } from './target.ts'

const full = `rules:
  - allow: [pull, push]
    to: group:developers
    on: team/**
  - deny: push
    to: [authenticated, anonymous]
    except: user:ci
    on: "\${group}/*-\${user}/**"
    when:
      addresses: [10.0.0.0/8, "2001:db8::/32"]
      methods: [htpasswd]
      tags: [v*, latest]
      hours: { from: "22:00", until: "06:00", days: [mon, tue], timeZone: Europe/Berlin }
      notBefore: 2026-12-01T00:00:00Z
    message: releases go through ci
roles: { releaser: [pull, push, overwrite] }
groups: { developers: [alice, bob] }
protectedTags:
  - { on: "**/prod/*", tags: [v*], message: no }
`
const corpus = [
  full,
  'rules: [{ allow: reader, to: [anonymous, authenticated], on: "**" }]\n',
  JSON.stringify({ rules: [{ deny: 'owner', to: 'authenticated', on: ['a*b*c/**/*', '*b*'] }] }),
  'rules:\n- &x { allow: own, to: user:alice, on: a }\n- *x\nroles: { own: [list] }',
  '',
]
const words = [
  '**',
  '*',
  '/',
  '${user}',
  '${group}',
  '${',
  '- ',
  ': ',
  '\n  ',
  '"',
  '[',
  ']',
  '{',
  '}',
  'deny',
  'owner',
  'user:',
  '__proto__',
  '&a ',
  '*a',
  'Z',
  '..',
]

const alice: Principal = { kind: 'user', name: 'alice', groups: ['developers', '*', 'a/b', 'prod'], method: 'htpasswd' }
const requests = [
  ['PUT', '/v2/prod/x-alice/a/manifests/v1'],
  ['GET', '/v2/_catalog'],
  ['DELETE', '/v2/a/prod/b/manifests/v1'],
  ['POST', '/v2/abc/blobs/uploads/'],
] as const

/** Loads without an exception, names faults with places of the file, and answers whatever it is asked. */
function checkPolicy(bytes: readonly string[]): void {
  const files = bytes.map((text, index): PolicyFile => {
    return { file: `${String(index)}.yaml`, text: Buffer.from(text, 'latin1').toString('utf8') }
  })
  const load = loadPolicy(files, { name: 'p', generation: 1 })
  if (load.kind === 'faults') {
    must(load.faults.length > 0, 'it was refused without a reason')
    for (const { file, line, column, sentence } of load.faults) {
      const lines = files.find((each) => each.file === file)?.text.split(/\r\n|[\r\n]/) ?? []
      must(line >= 1 && line <= lines.length && column >= 1, `there is no ${file}:${String(line)}:${String(column)}`)
      must(sentence.length > 0 && sentence.length < 1_500, 'a sentence is as long as the file')
    }
    return
  }
  must(load.policy.rules.length > 0, 'a policy without a rule was loaded')
  policyWarnings(load.policy, 0)
  const circumstances = { address: '10.0.0.1', now: 0, ownHosts: new Set<string>() }
  for (const [method, target] of requests) {
    const request = parseRegistryRequest(method, target)
    for (const principal of [alice, anonymous]) {
      const decision = evaluate(load.policy, principal, request, circumstances)
      if (decision.kind === 'refused') must(decision.sentence().includes('may not'), 'a refusal has no sentence')
      if (decision.kind === 'granted')
        must(decision.grant.listFilter?.('Not/A/Name') !== true, 'what is no name is listed')
    }
  }
}

export const policyTargets = [
  createFuzzTarget('policy-files', fc.array(mutatedBytes(corpus, words), { minLength: 1, maxLength: 2 }), checkPolicy),
]
