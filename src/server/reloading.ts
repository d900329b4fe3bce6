import { PolicyError } from '../authorization/policy-store.ts'
import { ConfigError, printProblem } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { TlsCertificateError } from '../listener/tls-contexts.ts'
import type { Clock } from '../telemetry/clock.ts'
import type { Events } from '../telemetry/events.ts'
import type { ReloadPart } from '../telemetry/labels.ts'
import { changedKeys } from './changed-keys.ts'
import type { LivePolicies } from './policies.ts'
import { createWatchedFiles } from './watched-files.ts'

/** What became of a part. */
export type ReloadOutcome =
  | { readonly part: ReloadPart; readonly result: 'reloaded'; readonly needRestart: readonly string[] }
  | { readonly part: ReloadPart; readonly result: 'refused'; readonly problems: readonly string[] }

export type ReloadingDependencies = {
  /** The configuration that is in force at the start. */
  readonly config: Config
  /** The file it came from; watched where there is one. */
  readonly configFile: string | undefined
  /** Reads it again, from the same sources. @throws ConfigError */
  readonly readConfig: () => Promise<Config>
  /** Puts the settings that can change while the gateway runs in force. */
  readonly applySettings: (config: Config) => void
  readonly replaceCertificates: (config: Config) => Promise<void>
  readonly replaceUsers: (file: string) => Promise<void>
  readonly policies: Pick<LivePolicies, 'replace' | 'watched'>
  /** Opens the audit file anew, for whoever rotates it by hand. */
  readonly reopenAudit: () => void
  /** Forgets remembered logins, so that what was changed in a directory counts at once. */
  readonly flushLogins: () => void
  readonly intervalMs: number
  readonly clock: Clock
  readonly events: Pick<Events, 'reloaded' | 'reloadRefused'>
}

export type Reloading = {
  /** Begins to watch the files. */
  start(): Promise<void>
  /** Reads everything again now, opens the audit file anew and forgets remembered logins: SIGHUP and the admin socket. */
  readonly reloadAll: () => Promise<readonly ReloadOutcome[]>
  stop(): void
}

/** Keys (and all below them) that take effect without a restart. */
const hotKeys = [
  'authorization',
  'authentication.htpasswd.file',
  'cors',
  'log.level',
  'maintenance',
  'tls.certificateFile',
  'tls.certificates',
  'tls.keyFile',
]

/**
 * Reloads configuration, certificates, users and policies: parse, validate, swap whole. What is refused changes nothing; the last
 * good part serves on, and the reason is told. Reloads never overlap.
 */
export function createReloading(dependencies: ReloadingDependencies): Reloading {
  const { events, clock, intervalMs } = dependencies
  let config = dependencies.config
  let last: Promise<unknown> = Promise.resolve()

  /** One after the other, in the order in which they were asked for. */
  function inTurn<T>(run: () => Promise<T>): Promise<T> {
    const turn = last.then(run)
    last = turn.catch(() => undefined)
    return turn
  }

  async function attempt(part: ReloadPart, run: () => Promise<readonly string[]>): Promise<ReloadOutcome> {
    try {
      const needRestart = await run()
      events.reloaded(part, needRestart)
      return { part, result: 'reloaded', needRestart }
    } catch (error) {
      const problems = problemsOf(error)
      events.reloadRefused(part, problems)
      return { part, result: 'refused', problems }
    }
  }

  const reloadConfiguration = (): Promise<ReloadOutcome> =>
    attempt('configuration', async () => {
      const next = await dependencies.readConfig()
      const cold = changedKeys(config, next).filter(
        (key) => !hotKeys.some((hot) => key === hot || key.startsWith(`${hot}.`)),
      )
      dependencies.applySettings(next)
      config = next
      return cold
    })
  const reloadCertificates = (): Promise<ReloadOutcome> =>
    attempt('certificates', async () => {
      await dependencies.replaceCertificates(config)
      return []
    })
  const reloadUsers = (): Promise<ReloadOutcome> =>
    attempt('users', async () => {
      const { htpasswd } = config.authentication
      if (htpasswd.enabled) await dependencies.replaceUsers(htpasswd.file)
      return []
    })

  const reloadPolicies = (): Promise<ReloadOutcome> =>
    attempt('policies', async () => {
      await dependencies.policies.replace(config.authorization)
      return []
    })

  const watch = (files: () => readonly string[], run: () => Promise<unknown>) =>
    createWatchedFiles({ files, intervalMs, clock, onChange: () => inTurn(run).then(() => undefined) })
  // A change of the configuration may name other files, which their own watches then see.
  const watches = [
    watch(() => (dependencies.configFile === undefined ? [] : [dependencies.configFile]), reloadConfiguration),
    watch(() => certificateFiles(config), reloadCertificates),
    watch(() => userFiles(config), reloadUsers),
    watch(() => policyFiles(config, dependencies.policies), reloadPolicies),
  ]

  return {
    start: async () => {
      await Promise.all(watches.map((each) => each.start()))
    },
    reloadAll: () =>
      inTurn(async () => {
        dependencies.reopenAudit()
        dependencies.flushLogins()
        const outcomes = [
          await reloadConfiguration(),
          await reloadCertificates(),
          await reloadUsers(),
          await reloadPolicies(),
        ]
        await Promise.all(watches.map((each) => each.acknowledge()))
        return outcomes
      }),
    stop: () => {
      for (const each of watches) each.stop()
    },
  }
}

function certificateFiles({ tls }: Config): readonly string[] {
  if (!tls.enabled) return []
  return [tls, ...tls.certificates].flatMap(({ certificateFile, keyFile }) => [certificateFile, keyFile])
}

function userFiles({ authentication: { htpasswd } }: Config): readonly string[] {
  return htpasswd.enabled ? [htpasswd.file] : []
}

/** The files in force, and the paths that the configuration names: another path is another policy. */
function policyFiles({ authorization }: Config, { watched }: Pick<LivePolicies, 'watched'>): readonly string[] {
  return [authorization.policies, ...(authorization.shadow === undefined ? [] : [authorization.shadow]), ...watched()]
}

function problemsOf(error: unknown): readonly string[] {
  if (error instanceof ConfigError) return error.problems.map(printProblem)
  if (error instanceof TlsCertificateError || error instanceof PolicyError) return error.problems
  return [error instanceof Error ? error.message : String(error)]
}
