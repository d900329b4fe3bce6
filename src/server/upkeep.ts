import type { LoadedCertificate } from '../listener/tls-contexts.ts'
import type { Proxy } from '../proxy/proxy.ts'
import { systemClock } from '../telemetry/clock.ts'
import type { Events } from '../telemetry/events.ts'
import { createUpstreamProbe } from '../telemetry/health.ts'
import type { Health } from '../telemetry/health.ts'
import type { AdminCommands } from './admin-commands.ts'
import { openAdminSocket } from './admin-socket.ts'
import type { AdminSocket } from './admin-socket.ts'
import type { Reloading } from './reloading.ts'

export type UpkeepDependencies = {
  readonly proxy: Pick<Proxy, 'probe'>
  readonly health: Health
  readonly events: Events
  readonly certificates: () => readonly LoadedCertificate[]
  readonly reloading: Reloading
  /** What can be asked over the admin socket besides a reload. */
  readonly commands: Omit<AdminCommands, 'reload'>
}

/** What goes on beside the requests: probing the upstream, watching files and certificates, the admin socket. */
export type Upkeep = {
  start(adminSocket: string): Promise<void>
  stop(): Promise<void>
}

const probeIntervalMs = 5_000
const certificateCheckMs = 12 * 3_600_000

export function createUpkeep({ proxy, health, events, certificates, reloading, commands }: UpkeepDependencies): Upkeep {
  const probe = createUpstreamProbe({
    probe: () => proxy.probe(),
    intervalMs: probeIntervalMs,
    clock: systemClock,
    onChange: (up) => {
      health.upstreamReachable(up)
      events.upstreamContact(up)
    },
  })
  let socket: AdminSocket | undefined
  let timer: NodeJS.Timeout | undefined

  return {
    start: async (adminSocket) => {
      probe.start()
      await reloading.start()
      timer = setInterval(() => {
        for (const certificate of certificates()) events.certificateInUse(certificate)
      }, certificateCheckMs).unref()
      try {
        socket = await openAdminSocket(adminSocket, { ...commands, reload: () => reloading.reloadAll() })
      } catch (error) {
        events.adminSocketUnavailable(adminSocket, error)
      }
    },
    stop: async () => {
      probe.stop()
      reloading.stop()
      clearInterval(timer)
      await socket?.close()
    },
  }
}
