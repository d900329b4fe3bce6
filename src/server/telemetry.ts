import type { Writable } from 'node:stream'
import type { Config } from '../config/schema.ts'
import { openAuditSink } from '../telemetry/audit-sink.ts'
import { createAudit, noAudit } from '../telemetry/audit.ts'
import type { Audit } from '../telemetry/audit.ts'
import { systemClock } from '../telemetry/clock.ts'
import { createEvents } from '../telemetry/events.ts'
import type { Events } from '../telemetry/events.ts'
import { createLogger, logTo } from '../telemetry/log.ts'
import type { Logger } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import type { BuildInfo, Metrics } from '../telemetry/metrics.ts'

/** Where a server writes; `process` has both. */
export type Output = { readonly standardOutput: Writable & { readonly fd?: number }; readonly standardError: Writable }

export type Telemetry = {
  readonly log: Logger
  readonly metrics: Metrics
  readonly audit: Audit
  readonly events: Events
}

/**
 * Opens log, metrics and audit as configured.
 *
 * @throws Error of the file system when the audit file cannot be opened
 */
export async function createTelemetry(config: Config, output: Output, build: BuildInfo): Promise<Telemetry> {
  const log = createLogger(config.log.level, logTo(output.standardError))
  const metrics = createMetrics(build)
  const audit = config.audit.enabled
    ? createAudit({
        sink: await openAuditSink(config.audit.destination, output.standardOutput),
        log,
        metrics,
        clock: systemClock,
        onFailure: config.audit.onFailure,
      })
    : noAudit
  return { log, metrics, audit, events: createEvents({ log, metrics, audit, clock: systemClock }) }
}
