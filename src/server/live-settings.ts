import type { Config } from '../config/schema.ts'
import { createCors } from '../headers/cors.ts'
import type { Cors } from '../headers/cors.ts'
import type { Maintenance } from '../maintenance.ts'
import type { Events } from '../telemetry/events.ts'
import type { Logger } from '../telemetry/log.ts'

/** Settings that can change while the gateway runs; whoever needs one asks for it each time. */
export type LiveSettings = {
  readonly cors: () => Cors
  readonly maintenance: () => Maintenance
  /** Puts those of another configuration in force. */
  readonly apply: (config: Config) => void
}

export function createLiveSettings(config: Config, log: Logger, events: Pick<Events, 'maintenance'>): LiveSettings {
  let { maintenance } = config
  if (maintenance.readOnly) events.maintenance(true)
  let cors = createCors(config.cors)
  return {
    cors: () => cors,
    maintenance: () => maintenance,
    apply: (next) => {
      if (next.maintenance.readOnly !== maintenance.readOnly) events.maintenance(next.maintenance.readOnly)
      maintenance = next.maintenance
      cors = createCors(next.cors)
      log.setLevel(next.log.level)
    },
  }
}
