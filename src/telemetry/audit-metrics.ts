import type { Registry } from 'prom-client'
import { labelValues } from './labels.ts'
import type { AccessLabel, AuditVerdict } from './labels.ts'
import { counter, gauge } from './metric-children.ts'
import { definitions } from './metric-definitions.ts'

/** What is counted of the audit. */
export type AuditMetrics = {
  readonly auditWritten: (lines: number) => void
  readonly auditDropped: (lines: number) => void
  /** Whether lines reach their destination. */
  readonly auditUp: (up: boolean) => void
  /** A request came while they did not. */
  readonly auditFaultRequest: (access: AccessLabel, verdict: AuditVerdict) => void
}

export function auditMetrics(registry: Registry): AuditMetrics {
  const written = counter(registry, definitions.auditEvents)
  const dropped = counter(registry, definitions.auditDropped)
  const up = gauge(registry, definitions.auditUp)
  up.set(1)
  const requests = counter(registry, definitions.auditFaultRequests)
  for (const access of labelValues.access)
    for (const verdict of labelValues.verdict) requests.labels({ access, verdict }).inc(0)
  return {
    auditWritten: (lines) => {
      written.inc(lines)
    },
    auditDropped: (lines) => {
      dropped.inc(lines)
    },
    auditUp: (isUp) => {
      up.set(isUp ? 1 : 0)
    },
    auditFaultRequest: (access, verdict) => {
      requests.labels({ access, verdict }).inc()
    },
  }
}
