import { expect } from '@jest/globals'
import type { TransferResult } from './client.ts'
import type { ClientCase } from './client-cases.ts'
import { documentedClients, ourWords, shownBy } from './client-words.ts'
import type { Situation } from './client-words.ts'
import { foundParts } from './part.ts'
import type { RunResult } from './processes.ts'

const documented = documentedClients()

/** The whole text for the version that the reference names; of any other version our own words, where there were any. */
export function expectShown(clientCase: ClientCase, situation: Situation, result: RunResult, host: string): void {
  expect(result.code).not.toBe(0)
  expectText(clientCase, situation, result, host)
}

/** The same of a client that says it and goes on. */
export function expectText(clientCase: ClientCase, situation: Situation, result: RunResult, host: string): void {
  const text = documented.get(clientCase.name)?.shows[situation] ?? ''
  const expected = isDocumentedVersion(clientCase) ? text : ourWords(text, situation)
  expect(shownBy(result, host)).toContain(expected ?? '')
}

/** The figures of the same row, where the reference names the version that is here. */
export function expectFigures(clientCase: ClientCase, situation: Situation, figures: readonly number[]): void {
  if (!isDocumentedVersion(clientCase)) return
  expect(figures.map(String)).toEqual(documented.get(clientCase.name)?.figures[situation])
}

/** Whether the client on this machine is the one that the reference tells of. */
function isDocumentedVersion({ name, speaker }: ClientCase): boolean {
  const found = foundParts()[speaker]
  const version = found !== undefined && 'version' in found ? found.version : ''
  return version.startsWith(documented.get(name)?.version ?? '')
}

/** Why a command failed, if it did. */
export function failureOf({ code, stdout, stderr }: RunResult): string | undefined {
  return code === 0 ? undefined : `exit code ${String(code)}: ${stdout}\n${stderr}`
}

/** The digest of what was moved, or why it was not. */
export function digestOf(result: TransferResult): string {
  return failureOf(result) ?? String(result.digest)
}
