import { join } from 'node:path'
import type { Credentials } from './client.ts'
import { clientCases } from './client-cases.ts'
import type { ClientCase } from './client-cases.ts'
import type { ClientSite } from './client-site.ts'
import type { RunningProcess } from './processes.ts'

const hour = { windowSeconds: 3_600 }

/**
 * These ask five times, wait before each as `Retry-After` says, at most a minute, and say nothing meanwhile: four minutes
 * where a quota comes back in an hour. So in the tests they meet a limit whose answer says 5 seconds.
 */
export const patientClients: readonly ClientCase[] = clientCases.filter(({ name }) => isPatient(name))
/** And these begin that again three times for a pull or a push. */
export const stubbornClients: readonly ClientCase[] = patientClients.filter(({ name }) => name !== 'skopeo')
export const otherClients: readonly ClientCase[] = clientCases.filter(({ name }) => !isPatient(name))

function isPatient(name: string): boolean {
  return ['podman', 'buildah', 'skopeo'].includes(name)
}

/** More than ten layers take before the first upload, where a client asks for them all first; less than the push takes. */
export const fewRequests = 15

/**
 * Each user has limits of its own. Of ci's only `pushes` can refuse a push: it is let through by the others once it has
 * begun. alice has one pull and one push; bob one request at a time.
 */
export const limitSettings = {
  rateLimit: {
    enabled: true,
    buckets: [
      { name: 'pulls', scope: 'user', class: 'pull', quota: 1, ...hour, users: ['alice'] },
      { name: 'pushes', scope: 'user', class: 'push', quota: 1, ...hour, users: ['alice', 'ci'] },
      { name: 'few', scope: 'user', class: 'requests', quota: fewRequests, ...hour, users: ['ci'] },
      { name: 'bytes', scope: 'user', class: 'push', unit: 'bytes', quota: 1_000, ...hour, users: ['ci'] },
      { name: 'one-upload', scope: 'user', class: 'push', unit: 'concurrent', quota: 1, users: ['ci'] },
      { name: 'one-request', scope: 'user', class: 'requests', unit: 'concurrent', quota: 1, users: ['bob'] },
    ],
  },
  lockout: { enabled: true, freeAttempts: 2 },
} as const

/** What a program of the site's own namespace was answered by the gateway. */
export type SiteAnswer = {
  readonly status: number
  readonly reason: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export type SiteRequest = Credentials & {
  readonly method?: string
  readonly path: string
}

/** Asks the gateway once, from inside the site: no address of it is reachable from outside. */
export async function askInside(site: ClientSite, request: SiteRequest): Promise<SiteAnswer> {
  const result = await startScript(site, askScript, request).ended
  if (result.code !== 0) throw new Error(`the gateway was not asked: ${result.stderr}`)
  return JSON.parse(result.stdout) as SiteAnswer
}

/** Takes the one place of a user for a request, until it is stopped: an upload that goes on and on. */
export function holdPlace(site: ClientSite, credentials: Credentials, repository: string): RunningProcess {
  return startScript(site, holdScript, { ...credentials, repository })
}

/** Guesses passwords, each after the wait that it is told, until that wait is so long or longer. */
export async function guessUntilLocked(site: ClientSite, username: string, seconds: number): Promise<void> {
  const result = await startScript(site, guessScript, { username, seconds }).ended
  if (result.code !== 0) throw new Error(`passwords were not guessed: ${result.stderr}`)
}

/** Runs a command of the gateway's own over its admin socket. */
export async function runAdmin(site: ClientSite, args: readonly string[]): Promise<string> {
  const words = [command, ...args, '--socket', join(site.gateway.directory, 'admin.sock')]
  const { code, stdout, stderr } = await site.namespace.run(process.execPath, words, { env: environment(site) })
  if (code !== 0) throw new Error(`wharfgate ${args.join(' ')} failed: ${stderr}`)
  return stdout
}

/** What is left of a bucket for a user. */
export async function leftOf(site: ClientSite, user: string, bucket: string): Promise<number> {
  const shown = JSON.parse(await runAdmin(site, ['limits', 'show', '--user', user, '--json'])) as {
    readonly limits: readonly { readonly bucket: string; readonly remaining: number }[]
  }
  return shown.limits.find((limit) => limit.bucket === bucket)?.remaining ?? Number.NaN
}

const command = join(import.meta.dirname, '..', '..', 'bin', 'wharfgate.js')

function environment({ gateway }: ClientSite): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], NODE_EXTRA_CA_CERTS: join(gateway.directory, 'certs', 'ca.crt') }
}

function startScript(site: ClientSite, script: string, argument: Readonly<Record<string, unknown>>): RunningProcess {
  const words = [
    '--input-type=module',
    '--eval',
    `${prelude}\n${script}`,
    JSON.stringify({ ...argument, url: `https://${site.host}` }),
  ]
  return site.namespace.start(process.execPath, words, { env: environment(site) })
}

const prelude = `
  import { randomUUID } from 'node:crypto'
  import { request } from 'node:https'
  import { setTimeout as delay } from 'node:timers/promises'
  const asked = JSON.parse(process.argv[1])
  function open(method, path, password) {
    const auth = asked.username + ':' + password
    return request(new URL(path, asked.url), { method, auth, agent: false })
  }
  function answerOf(opened) {
    return new Promise((resolve, reject) => opened.once('response', resolve).once('error', reject))
  }
`

const askScript = `
  const opened = open(asked.method ?? 'GET', asked.path, asked.password)
  opened.end()
  const answer = await answerOf(opened)
  let body = ''
  for await (const chunk of answer.setEncoding('utf8')) body += chunk
  const { statusCode: status, statusMessage: reason, headers } = answer
  process.stdout.write(JSON.stringify({ status, reason, headers, body }))
`

const holdScript = `
  const start = open('POST', '/v2/' + asked.repository + '/blobs/uploads/', asked.password)
  start.end()
  const { headers } = await answerOf(start)
  const upload = open('PATCH', headers.location, asked.password)
  setInterval(() => upload.write('x'), 500)
`

const guessScript = `
  for (;;) {
    const opened = open('GET', '/v2/', randomUUID())
    opened.end()
    const answer = await answerOf(opened)
    answer.resume()
    const seconds = Number(answer.headers['retry-after'] ?? 0)
    if (seconds >= asked.seconds) break
    await delay(seconds * 1000)
  }
`
