import { readFile } from 'node:fs/promises'
import { Command } from 'commander'
import { ConfigError, loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { startServer } from '../server.ts'
import type { RunningServer } from '../server.ts'

/** `wharfgate serve`: runs the gateway until a signal ends it. What keeps it from starting is said on stderr, exit code 1. */
export function serveCommand(): Command {
  return new Command('serve')
    .description('run the gateway')
    .option('--config <file>', 'configuration file; without it the environment is all')
    .action(async ({ config: file }: { readonly config?: string }) => {
      const readConfig = (): Promise<Config> => loadConfig({ file, environment: process.env, readFile })
      let server: RunningServer | undefined
      const onFault = (): void => {
        process.exitCode = 1
        if (server !== undefined) end(server)
      }
      try {
        server = await startServer(await readConfig(), { configFile: file, readConfig, onFault })
        endOnSignal(server)
        process.on('SIGHUP', () => void server?.reload())
        process.on('uncaughtException', (error) => {
          server?.report(error)
        })
      } catch (error) {
        process.stderr.write(`wharfgate: ${startFault(error)}\n`)
        process.exitCode = 1
      }
    })
}

/** The first SIGTERM or SIGINT lets what is in flight end; a second one ends at once. */
function endOnSignal(server: RunningServer): void {
  let asked = false
  const onSignal = (signal: NodeJS.Signals): void => {
    if (asked) process.exit(signal === 'SIGINT' ? 130 : 143)
    asked = true
    end(server)
  }
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal)
}

/** Lets what is in flight end and then the process, as a failure where something had failed before. */
function end(server: RunningServer): void {
  server.stop().then(
    () => process.exit(process.exitCode ?? 0),
    (error: unknown) => {
      process.stderr.write(`wharfgate: ending failed: ${startFault(error)}\n`)
      process.exit(1)
    },
  )
}

function startFault(error: unknown): string {
  if (error instanceof ConfigError) return error.message
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause instanceof Error ? ` (${error.cause.message})` : ''
  return `${error.message}${cause}`
}
