/** Tables of cases, asked of a policy: what it decides otherwise than is expected. */
import { readFile } from 'node:fs/promises'
import { explain } from '../authorization/explain.ts'
import type { Explanation } from '../authorization/explain.ts'
import { maxDocumentBytes } from '../config/document.ts'
import { printTarget, readPolicyCases } from '../config/policy-cases.ts'
import type { CasesReading, Expectation } from '../config/policy-cases.ts'
import { readTextFile } from '../config/text-file.ts'
import type { CheckFinding } from './check.ts'
import { nameOf } from './policy-question.ts'
import { nearestOf, printReason, reasonsOf } from './policy-reason.ts'
import { forTerminal } from './policy-rule-text.ts'
import type { PolicySource } from './policy-source.ts'

export type CasesOutcome = {
  readonly cases: number
  /** Each case asks for one decision or more: every user, action and repository that it names. */
  readonly decisions: number
  /** Files that cannot be read; nothing of them was asked. */
  readonly faults: readonly CheckFinding[]
  /** What was decided otherwise, one for each decision. */
  readonly failures: readonly CheckFinding[]
}

/** Asks a policy all cases of some files. @param now milliseconds since the epoch, for cases that name no time */
export async function runCases(
  source: Pick<PolicySource, 'policy' | 'ruleTexts'>,
  files: readonly string[],
  now: number,
): Promise<CasesOutcome> {
  const readings = await Promise.all(files.map(readCases))
  const expectations = readings.flatMap((reading) => (reading.kind === 'ok' ? reading.expectations : []))
  return {
    cases: readings.reduce((sum, reading) => sum + (reading.kind === 'ok' ? reading.caseCount : 0), 0),
    decisions: expectations.length,
    faults: readings.flatMap((reading) => (reading.kind === 'faults' ? reading.faults.map(atPlace) : [])),
    failures: expectations.flatMap((expectation) => failureOf(expectation, source, now)),
  }
}

async function readCases(file: string): Promise<CasesReading> {
  const content = await readTextFile(readFile, file, maxDocumentBytes)
  if (content.kind === 'ok') return readPolicyCases({ file, text: content.text })
  return { kind: 'faults', faults: [{ file, line: 1, column: 1, key: 'document', sentence: content.sentence }] }
}

function atPlace({ sentence, ...place }: Expectation['place'] & { readonly sentence: string }): CheckFinding {
  return { severity: 'error', place: `${place.file}:${place.line}:${place.column}`, key: place.key, sentence }
}

function failureOf(
  expectation: Expectation,
  source: Pick<PolicySource, 'policy' | 'ruleTexts'>,
  now: number,
): readonly CheckFinding[] {
  const { principal, address, at = now, action, target, expected, message } = expectation
  const circumstances = { address, now: at, ownHosts: new Set<string>() }
  const explanation = explain(source.policy, principal, { action, ...target }, circumstances)
  const asked = `${action} ${printTarget(target)} by ${nameOf(principal)}`
  const wrong = wrongDecision(explanation, expected) ?? wrongMessage(explanation, message)
  if (wrong === undefined) return []
  const reason = printReason(reasonsOf(explanation, target, source), nearestOf(explanation, source))
  return [atPlace({ ...expectation.place, sentence: forTerminal(`${asked} ${wrong} ${reason}`) })]
}

function wrongDecision({ kind }: Explanation, expected: Expectation['expected']): string | undefined {
  return kind === expected ? undefined : `should be ${expected}, and is ${kind}`
}

function wrongMessage({ sentence }: Explanation, message: string | undefined): string | undefined {
  if (message === undefined || sentence?.endsWith(`: ${message}`) === true) return undefined
  return `should be refused with the message ${JSON.stringify(message)}, and is refused with ${JSON.stringify(sentence)}`
}
