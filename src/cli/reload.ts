import { readFile } from 'node:fs/promises'
import { request } from 'node:http'
import { Command } from 'commander'
import { ConfigError, loadConfig } from '../config/load.ts'
import type { ReloadOutcome } from '../server/reloading.ts'

type ReloadOptions = { readonly config?: string; readonly socket?: string }

/** `wharfgate reload`: asks the running gateway to read its files again, and tells what became of each part. */
export function reloadCommand(): Command {
  return new Command('reload')
    .description('make a running gateway read its configuration, certificates and users again')
    .option('--config <file>', 'configuration of the gateway, for the path of its admin socket')
    .option('--socket <path>', 'the admin socket itself')
    .action(async (options: ReloadOptions) => {
      try {
        const outcomes = await askReload(await socketPath(options))
        for (const outcome of outcomes) process.stdout.write(describe(outcome))
        if (outcomes.some(({ result }) => result === 'refused')) process.exitCode = 1
      } catch (error) {
        process.stderr.write(`wharfgate: ${error instanceof Error ? error.message : String(error)}\n`)
        process.exitCode = 1
      }
    })
}

async function socketPath({ config: file, socket }: ReloadOptions): Promise<string> {
  if (socket !== undefined) return socket
  try {
    return (await loadConfig({ file, environment: process.env, readFile })).admin.socket
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    // The new configuration may be what is broken; the running gateway is still to say so itself.
    throw new Error(`${error.message}\nthe path of the admin socket is not known; name it with --socket PATH`)
  }
}

function askReload(path: string): Promise<readonly ReloadOutcome[]> {
  return new Promise((resolve, reject) => {
    const req = request({ socketPath: path, path: '/reload', method: 'POST', agent: false, timeout: 60_000 }, (res) => {
      let text = ''
      res.setEncoding('utf8')
      res.on('error', reject)
      res.on('data', (chunk: string) => {
        text += chunk
      })
      res.on('end', () => {
        if (res.statusCode === 200) resolve((JSON.parse(text) as { outcomes: readonly ReloadOutcome[] }).outcomes)
        else reject(new Error(`the gateway at ${path} answered ${res.statusCode}`))
      })
    })
    req.on('timeout', () => req.destroy(new Error(`the gateway at ${path} did not answer within a minute`)))
    req.on('error', (error: NodeJS.ErrnoException) => {
      const cures: Readonly<Record<string, string>> = {
        ENOENT: 'no gateway has its admin socket there; is it running, and is admin.socket the same?',
        ECONNREFUSED: 'the gateway that made it is gone',
        EACCES: 'only the user that runs the gateway may open it',
      }
      reject(new Error(`${path}: ${cures[error.code ?? ''] ?? error.message}`))
    })
    req.end()
  })
}

function describe(outcome: ReloadOutcome): string {
  if (outcome.result === 'refused') {
    return `${outcome.part}: refused, the last good state serves on\n${outcome.problems.map((line) => `  ${line}\n`).join('')}`
  }
  const restart =
    outcome.needRestart.length === 0 ? '' : ` (needs a restart to take effect: ${outcome.needRestart.join(', ')})`
  return `${outcome.part}: reloaded${restart}\n`
}
