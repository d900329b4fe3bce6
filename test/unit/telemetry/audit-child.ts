/**
 * A process that writes audit lines to its standard output, for the tests of what a real pipe does:
 * `node audit-child.ts LINES CLOSE_MS`, the time that it gives its last lines. Says on standard error
 * `{ written, dropped, ticks, longestGapMs }` and ends.
 */
import { createAudit } from '../../../src/telemetry/audit.ts'
import { openAuditSink } from '../../../src/telemetry/audit-sink.ts'
import { systemClock } from '../../../src/telemetry/clock.ts'
import { createLogger, logTo } from '../../../src/telemetry/log.ts'
import { exchange } from './samples.ts'

const [lines = 0, closeMs = 0] = process.argv.slice(2).map(Number)
const counted = { written: 0, dropped: 0, longestGapMs: 0 }
const audit = createAudit({
  sink: await openAuditSink('stdout', process.stdout),
  log: createLogger('error', logTo(process.stderr)),
  metrics: {
    auditWritten: (count) => void (counted.written += count),
    auditDropped: (count) => void (counted.dropped += count),
    auditUp: () => undefined,
    auditFaultRequest: () => undefined,
  },
  onFailure: { writes: 'block', reads: 'allow' },
  clock: systemClock,
})

let lastMs = performance.now()
const ticks = setInterval(() => {
  const nowMs = performance.now()
  counted.longestGapMs = Math.max(counted.longestGapMs, nowMs - lastMs)
  lastMs = nowMs
}, 5)

for (let count = 0; count < lines; count++) {
  audit.record(exchange({ requestId: `r${count}` }))
  if (count % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
}
await audit.close(closeMs)
clearInterval(ticks)
process.stderr.write(`${JSON.stringify(counted)}\n`, () => process.exit(0))
