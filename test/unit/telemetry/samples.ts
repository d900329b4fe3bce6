import { parseRegistryRequest } from '../../../src/registry/route.ts'
import type { ExchangeRecord } from '../../../src/telemetry/exchange-record.ts'
import { createLogger } from '../../../src/telemetry/log.ts'
import type { LogLevel, Logger } from '../../../src/telemetry/log.ts'

export const alice = { kind: 'user', name: 'alice', groups: ['developers'], method: 'htpasswd' } as const

/** A granted pull of a manifest by alice, with what a test wants to be different. */
export function exchange(differences: Partial<ExchangeRecord> = {}): ExchangeRecord {
  return {
    requestId: '0f9a',
    startedAtMs: Date.UTC(2026, 0, 2, 3, 4, 5, 67),
    durationMs: 12.34,
    method: 'GET',
    path: '/v2/team/app/manifests/latest',
    clientAddress: '192.0.2.7',
    userAgent: 'docker/28.1.1',
    request: parseRegistryRequest('GET', '/v2/team/app/manifests/latest'),
    principal: alice,
    decision: {
      kind: 'granted',
      policy: 'authenticated-users-only',
      policyGeneration: 0,
      required: [{ type: 'repository', name: 'team/app', anyOf: ['pull'] }],
      rule: undefined,
      shadowDecision: undefined,
      mountRemoved: false,
      protectedTags: [],
    },
    status: 200,
    error: undefined,
    bytesUp: 0,
    bytesDown: 1234,
    outcome: 'complete',
    ...differences,
  }
}

export type LogLines = {
  readonly log: Logger
  readonly text: () => string
  readonly entries: () => readonly Readonly<Record<string, unknown>>[]
}

/** A log that keeps its lines. */
export function keepLog(level: LogLevel = 'debug'): LogLines {
  const lines: string[] = []
  return {
    log: createLogger(level, { write: (line) => lines.push(line) }),
    text: () => lines.join(''),
    entries: () => lines.map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>),
  }
}
