/** `wharfgate healthcheck`: asks a running gateway how it is, for the HEALTHCHECK of a container image. */
import { readFile } from 'node:fs/promises'
import { request } from 'node:http'
import { Command } from 'commander'
import { readConfig } from '../config/load.ts'

export type HealthAnswer = { readonly healthy: boolean; readonly sentence: string }

const deadlineMs = 2_000
const defaultUrl = 'http://127.0.0.1:9090/livez'

/**
 * Asks the admin port once. Healthy is 200 within the deadline; everything else, a refused connection included, is told
 * in the sentence.
 */
export async function askHealth(url: URL, timeoutMs = deadlineMs): Promise<HealthAnswer> {
  const deadline = AbortSignal.timeout(timeoutMs)
  try {
    const status = await statusOf(url, deadline)
    return status === 200
      ? { healthy: true, sentence: `${url.href} says 200` }
      : { healthy: false, sentence: `${url.href} says ${status}` }
  } catch (error) {
    const reason = deadline.aborted ? `no answer within ${timeoutMs} ms` : messageOf(error)
    return { healthy: false, sentence: `${url.href} cannot be asked: ${reason}` }
  }
}

function statusOf(url: URL, signal: AbortSignal): Promise<number> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { method: 'GET', agent: false, signal }, (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
    asked.on('error', reject).end()
  })
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.message === '' && 'code' in error ? String(error.code) : error.message
}

/** The address of the admin port as a client on the same machine reaches it. */
export function adminUrl(admin: { readonly host: string; readonly port: number }, path: string): URL {
  const host = { '0.0.0.0': '127.0.0.1', '::': '::1' }[admin.host] ?? admin.host
  return new URL(path, `http://${host.includes(':') ? `[${host}]` : host}:${admin.port}`)
}

type Options = { readonly config?: string; readonly url?: string; readonly ready: boolean }

/** Creates the command. Exit code 0 is healthy, 1 is not; one sentence says why. */
export function healthcheckCommand(): Command {
  return new Command('healthcheck')
    .description('ask a running gateway whether it is alive, for container health checks')
    .option('--config <file>', 'read the address of the admin port from this file; without it, from the environment')
    .option('--url <url>', `ask this address instead (default: ${defaultUrl})`)
    .option('--ready', 'ask whether it should get traffic (/readyz), not only whether it lives (/livez)', false)
    .action(async (options: Options) => {
      const url = await urlOf(options)
      const { healthy, sentence } = url.kind === 'url' ? await askHealth(url.url) : { healthy: false, ...url }
      ;(healthy ? process.stdout : process.stderr).write(`wharfgate healthcheck: ${sentence}\n`)
      process.exitCode = healthy ? 0 : 1
    })
}

type Target = { readonly kind: 'url'; readonly url: URL } | { readonly kind: 'fault'; readonly sentence: string }

async function urlOf({ config, url, ready }: Options): Promise<Target> {
  if (url !== undefined) {
    return URL.canParse(url)
      ? { kind: 'url', url: new URL(url) }
      : { kind: 'fault', sentence: '--url is not an address such as http://127.0.0.1:9090/livez' }
  }
  const path = ready ? '/readyz' : '/livez'
  const reading = await readConfig({ file: config, environment: process.env, readFile })
  if (reading.kind === 'ok') return { kind: 'url', url: adminUrl(reading.config.admin, path) }
  // Without a file the environment may hold nothing at all; the gateway then listens where it does by default.
  if (config === undefined) return { kind: 'url', url: new URL(path, defaultUrl) }
  return { kind: 'fault', sentence: `${config} cannot be used; run wharfgate check --config ${config} for its faults` }
}
