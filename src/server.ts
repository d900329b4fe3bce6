/** Puts the stages together and runs them: public, redirect and admin listeners, from start to drained end. */
import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { basicChallenges } from './authentication/challenge.ts'
import { createAuthorize } from './authorize.ts'
import type { Config } from './config/schema.ts'
import { attachGateway } from './connection.ts'
import type { ExchangeDependencies } from './exchange.ts'
import { createGateway } from './gateway.ts'
import { createSecurityHeaders } from './headers/security-headers.ts'
import { clientAddress, networkList } from './listener/client-address.ts'
import type { Listener } from './listener/listen.ts'
import { createProxy } from './proxy/proxy.ts'
import type { ProxySettings } from './proxy/proxy.ts'
import type { AdminCommands } from './server/admin-commands.ts'
import { createAdminListener } from './server/admin-listener.ts'
import { buildInfo } from './server/build-info.ts'
import { createLimits } from './server/limits.ts'
import { createListeners } from './server/listeners.ts'
import type { BoundPorts } from './server/listeners.ts'
import { createLiveSettings } from './server/live-settings.ts'
import { createLogins } from './server/logins.ts'
import { createPolicies } from './server/policies.ts'
import { createHttpRedirect, createPublicListener } from './server/public-listener.ts'
import type { AnswerSettings } from './server/public-listener.ts'
import { createReloading } from './server/reloading.ts'
import type { ReloadOutcome } from './server/reloading.ts'
import { createStores } from './server/stores.ts'
import type { Stores } from './server/stores.ts'
import { createTelemetry } from './server/telemetry.ts'
import type { Output, Telemetry } from './server/telemetry.ts'
import { createUpkeep } from './server/upkeep.ts'
import { createAdminHandler } from './telemetry/admin-handler.ts'
import { systemClock } from './telemetry/clock.ts'
import type { Events } from './telemetry/events.ts'
import { createHealth } from './telemetry/health.ts'

export type RunningServer = BoundPorts & {
  /**
   * Reads configuration, certificates and users again and opens the audit file anew; what is refused leaves the last good
   * in force.
   */
  readonly reload: () => Promise<readonly ReloadOutcome[]>
  /** Tells of a fault that reached the process: it is logged, and `onFault` is called. */
  report(cause: unknown): void
  /**
   * Ends it: not ready at once, accepting for the configured delay, then no new connections, then until what is in flight
   * has ended or the deadline cuts it off; the audit is flushed. Later calls wait for the first.
   */
  stop(): Promise<void>
}

const watchIntervalMs = 1_000
const auditFlushMs = 5_000

export type StartOptions = {
  readonly output?: Output
  /** The file the configuration came from, to be watched. */
  readonly configFile?: string | undefined
  /** Reads the configuration again from where it came; without it only the files it names are reloaded. */
  readonly readConfig?: () => Promise<Config>
  /** How often the files are looked at, in milliseconds. */
  readonly watchIntervalMs?: number
  /** Told when something that should not happen did; whoever runs the server ends it, and the process with a failure. */
  readonly onFault?: (cause: unknown) => void
}

/**
 * Starts the gateway. It resolves when every listener is up.
 *
 * @throws Error when a file that the configuration names cannot be used, or an address is taken
 */
export async function startServer(config: Config, options: StartOptions = {}): Promise<RunningServer> {
  const telemetry = await createTelemetry(config, options.output ?? defaultOutput, await buildInfo())
  let stores: Stores | undefined
  try {
    stores = createStores(config, telemetry.events)
    return await startWith(config, options, telemetry, stores)
  } catch (error) {
    await stores?.close()
    await telemetry.audit.close(auditFlushMs)
    throw error
  }
}

async function startWith(
  config: Config,
  options: StartOptions,
  telemetry: Telemetry,
  stores: Stores,
): Promise<RunningServer> {
  const { log, events, metrics, audit } = telemetry
  const health = createHealth()
  const live = createLiveSettings(config, log, events)
  const proxy = createProxy(await proxySettings(config), events, stores.isShared ? stores.shared : undefined)
  const rateLimit = createLimits(config, stores, (principal) => policies.groupsOf(principal), events)
  const logins = await createLogins(config.authentication, events, {
    lockout: config.lockout,
    store: stores.steady,
    admitLogin: (address) => rateLimit.admitLogin(address),
  })
  const policies = await createPolicies(config, events)
  const report = (cause: unknown): void => {
    events.faulted(cause)
    options.onFault?.(cause)
  }
  const publicUrls = publicUrlsOf(config)
  const answers = answerSettings(config, publicUrls)
  const app = createGateway({
    cors: live.cors,
    authentication: logins.authentication,
    authorization: createAuthorize(policies, basicChallenges.missing),
    audit,
    maintenance: live.maintenance,
    rateLimit,
    proxy,
    errors: answers.errors,
    publicUrls,
    isHealthy: () => health.publicHealth() === 200,
    now: () => Date.now(),
    onFault: report,
  })
  const { listener, ...served } = await createPublicListener(config, events, answers)
  attachGateway(listener.server, {
    ...answers,
    app,
    cors: live.cors,
    peerAddress: listener.peerAddress,
    exchange: exchangeDependencies(config, events, listener),
  })
  const reloading = createReloading({
    config,
    configFile: options.readConfig === undefined ? undefined : options.configFile,
    readConfig: options.readConfig ?? (() => Promise.resolve(config)),
    applySettings: live.apply,
    replaceCertificates: served.replaceCertificates,
    replaceUsers: logins.replaceUsers,
    policies,
    reopenAudit: audit.reopen,
    flushLogins: logins.flush,
    intervalMs: options.watchIntervalMs ?? watchIntervalMs,
    clock: systemClock,
    events,
  })
  const listeners = createListeners(config, {
    public: listener,
    redirect: createHttpRedirect(config, publicUrls[0], events),
    admin: createAdminListener(config.admin, createAdminHandler({ metrics, health })),
  })
  const commands: Omit<AdminCommands, 'reload'> = {
    isShared: stores.isShared,
    flush: logins.flush,
    ...(config.rateLimit.enabled ? { limits: rateLimit } : {}),
    ...(logins.lockout === undefined ? {} : { lockout: logins.lockout }),
  }
  const upkeep = createUpkeep({ proxy, health, events, certificates: served.certificates, reloading, commands })
  // So that the first requests are counted where the others will be.
  await stores.opened
  const { addresses, ...ports } = await listeners.listen()
  await upkeep.start(config.admin.socket)
  health.started()
  events.serving(addresses)

  async function end(): Promise<void> {
    health.drain()
    await upkeep.stop()
    await delay(config.shutdown.delayMs)
    events.draining(config.shutdown.timeoutSeconds * 1000)
    const cutOff = await listeners.drain(config.shutdown.timeoutSeconds * 1000)
    proxy.close()
    logins.close()
    await rateLimit.close()
    await stores.close()
    events.stopped(cutOff)
    await audit.close(auditFlushMs)
    await listeners.close()
  }
  let ending: Promise<void> | undefined
  return {
    ...ports,
    reload: reloading.reloadAll,
    report,
    stop: () => {
      ending ??= end()
      return ending
    },
  }
}

/** What every answer has, whichever way it is sent. */
function answerSettings({ headers, errors, client }: Config, publicUrls: readonly URL[]): AnswerSettings {
  return {
    errors: { reasonPhrase: errors.reasonPhrase, writeInactivityMs: client.writeInactivityMs },
    securityHeaders: createSecurityHeaders({ ...headers, publicHosts: publicUrls.map(({ hostname }) => hostname) }),
  }
}

function exchangeDependencies(config: Config, events: Events, listener: Listener): ExchangeDependencies {
  const trusted = networkList(config.trustedProxies)
  return {
    observe: events,
    // Node makes `headersDistinct` of the whole head when it is first read.
    clientAddress: (request) => {
      const forwarded = config.trustedProxies.length === 0 ? [] : (request.headersDistinct['x-forwarded-for'] ?? [])
      return clientAddress(listener.peerAddress(request.socket), forwarded, trusted)
    },
    newRequestId: () => randomUUID(),
    now: () => Date.now(),
  }
}

const defaultOutput: Output = { standardOutput: process.stdout, standardError: process.stderr }

async function proxySettings({ upstream, client }: Config): Promise<ProxySettings> {
  return {
    upstreamUrl: new URL(upstream.url),
    upstreamCa: upstream.caFile === undefined ? undefined : await readFile(upstream.caFile, 'utf8'),
    credential: upstream.credential,
    redirects: { mode: upstream.redirects, hosts: new Set(upstream.redirectHosts) },
    upstreamTimeouts: upstream.timeouts,
    clientInactivityMs: client.inactivityMs,
    clientWriteInactivityMs: client.writeInactivityMs,
  }
}

function publicUrlsOf({ publicUrls }: Config): readonly [URL, ...URL[]] {
  const [first = '', ...others] = publicUrls
  return [new URL(first), ...others.map((url) => new URL(url))]
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms)
  })
}
