/** The rows of `npm run soak` that are about limits. */
import { request } from 'node:https'
import { setTimeout as delay } from 'node:timers/promises'
import { startGatewayProcess } from '../test/support/fault-gateway.ts'
import type { GatewayProcess } from '../test/support/fault-gateway.ts'
import { pushBlob } from '../test/support/fault-push.ts'
import { basicOf } from '../test/support/personas.ts'
import type { Persona } from '../test/support/personas.ts'
import { startRealRegistry } from '../test/support/real-registry.ts'
import { hold } from './hold.ts'
import type { SoakRow } from './soak-rows.ts'

const mebibyte = 1024 * 1024

const bytesPerSecond = 20_000_000
const seconds = 20

export const limitRows: readonly SoakRow[] = [
  {
    name: 'throttle',
    kind: 'works',
    promise: 'four downloads of a user at 20 MB/s are within 10 % of it over 20 s, and slow down nobody else',
    measure: throttle,
  },
]

/** `ci` is not slowed at all; bob has the same rate as alice, and one download. */
async function throttle(): Promise<string> {
  const registry = await startRealRegistry({ dataIn: 'memory' })
  const pace = { unit: 'bytes', quota: bytesPerSecond, windowSeconds: 1, onExceeded: 'slow', exemptUsers: ['ci'] }
  const buckets = [{ name: 'pace', scope: 'user', class: 'pull', ...pace }]
  const gateway = await startGatewayProcess({
    upstreamUrl: registry.url,
    settings: { rateLimit: { enabled: true, buckets } },
  })
  try {
    const { digest, answer } = await pushBlob(gateway.asAlice, 'alice/pace', 512 * mebibyte)
    hold(answer.status === 201, `the push was answered ${answer.status}`)
    const path = `/v2/alice/pace/blobs/${digest}`
    const alone = await rateOf(gateway, 'ci', path)
    const alices = [1, 2, 3, 4].map(() => startDownload(gateway, 'alice', path))
    const bobs = startDownload(gateway, 'bob', path)
    const startedMs = performance.now()
    const beside = await rateOf(gateway, 'ci', path)
    await delay(seconds * 1000 - (performance.now() - startedMs))
    const share = alices.map(({ bytes }) => bytes() / seconds)
    const bob = bobs.bytes() / seconds
    for (const { leave, ended } of [...alices, bobs]) {
      leave()
      await expectUnbroken(ended)
    }
    const total = share.reduce((sum, each) => sum + each, 0)
    const figure =
      `${megabytes(total)} MB/s together (${share.map(megabytes).join(', ')}), bob ${megabytes(bob)}; ` +
      `who is not slowed ${megabytes(alone)} alone, ${megabytes(beside)} beside them`
    hold([total, bob].every(isAtPace), figure)
    hold(Math.min(...share) > Math.max(...share) * 0.8, figure)
    hold(beside > Math.max(2 * bytesPerSecond, alone / 2), figure)
    return figure
  } finally {
    await gateway.stop()
    await registry.stop()
  }
}

function isAtPace(rate: number): boolean {
  return rate > bytesPerSecond * 0.9 && rate < bytesPerSecond * 1.1
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1)
}

type Download = {
  readonly bytes: () => number
  /** Why it broke off; nothing when it came to its end or was left. */
  readonly ended: Promise<Error | undefined>
  readonly leave: () => void
}

/** Reads as fast as it can. */
function startDownload({ target: { port, ca } }: GatewayProcess, persona: Persona, path: string): Download {
  const { promise: ended, resolve } = Promise.withResolvers<Error | undefined>()
  let bytes = 0
  const headers = { authorization: basicOf(persona) }
  const asked = request(
    { host: '127.0.0.1', port, ca, servername: 'localhost', path, headers, agent: false },
    (res) => {
      if (res.statusCode !== 200) resolve(new Error(`the download was answered ${res.statusCode}`))
      res.on('data', (chunk: Buffer) => {
        bytes += chunk.length
      })
      res.on('error', resolve).on('end', () => {
        resolve(undefined)
      })
    },
  )
  asked.on('error', resolve).end()
  const leave = (): void => {
    resolve(undefined)
    asked.destroy()
  }
  return { bytes: () => bytes, ended, leave }
}

/** Bytes per second of a whole download. */
async function rateOf(gateway: GatewayProcess, persona: Persona, path: string): Promise<number> {
  const startedMs = performance.now()
  const { bytes, ended } = startDownload(gateway, persona, path)
  await expectUnbroken(ended)
  return bytes() / ((performance.now() - startedMs) / 1000)
}

async function expectUnbroken(ended: Download['ended']): Promise<void> {
  const cause = await ended
  hold(cause === undefined, `a download broke off: ${cause?.message}`)
}
