import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import type { Clock } from '../telemetry/clock.ts'

export type WatchedFilesOptions = {
  /** Asked at each look: a reload may change which files matter. */
  readonly files: () => readonly string[]
  readonly intervalMs: number
  readonly clock: Clock
  /** Called when the content of some file is another than at the last call (or at `start`), and has settled. */
  readonly onChange: () => Promise<void>
}

export type WatchedFiles = {
  /** Takes what is there now as known, and looks again and again from then on. */
  start(): Promise<void>
  /** Takes what is there now as known, after a reload that somebody asked for. */
  acknowledge(): Promise<void>
  stop(): void
}

/**
 * Watches the content of files by looking at them. Notifications of the system go dead when a directory is swapped
 * behind a symlink (`..data` of Kubernetes), when an editor renames, and on network file systems; looking does not.
 *
 * A change is told when two looks in a row saw the same, so that a file that is still being written, or a key that is
 * replaced a moment after its certificate, is read when it is whole.
 */
export function createWatchedFiles({ files, intervalMs, clock, onChange }: WatchedFilesOptions): WatchedFiles {
  let knownState = ''
  let knownContent = ''
  let lastState = ''
  let cancel: (() => void) | undefined
  let running = false

  async function acknowledge(): Promise<void> {
    const paths = files()
    knownState = await stateOf(paths)
    lastState = knownState
    knownContent = await contentOf(paths)
  }

  async function look(): Promise<void> {
    const paths = files()
    const state = await stateOf(paths)
    const settled = state === lastState
    lastState = state
    if (state === knownState || !settled) return
    const content = await contentOf(paths)
    // Touched while it was read: the next look will see it settled.
    if ((await stateOf(paths)) !== state) return
    knownState = state
    if (content === knownContent) return
    knownContent = content
    await onChange()
  }

  function again(): void {
    cancel = clock.after(intervalMs, () => {
      void look().then(() => {
        if (running) again()
      })
    })
  }

  return {
    acknowledge,
    start: async () => {
      running = true
      await acknowledge()
      again()
    },
    stop: () => {
      running = false
      cancel?.()
    },
  }
}

/** What a look sees without reading: links are followed, so a swapped link shows as another file. */
async function stateOf(paths: readonly string[]): Promise<string> {
  const states = await Promise.all(
    paths.map(async (path) => {
      try {
        const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true })
        return [dev, ino, size, mtimeNs, ctimeNs].join(' ')
      } catch (error) {
        return codeOf(error)
      }
    }),
  )
  return JSON.stringify([paths, states])
}

async function contentOf(paths: readonly string[]): Promise<string> {
  const hashes = await Promise.all(
    paths.map(async (path) => {
      try {
        return createHash('sha256')
          .update(await readFile(path))
          .digest('hex')
      } catch (error) {
        return codeOf(error)
      }
    }),
  )
  return JSON.stringify([paths, hashes])
}

function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : 'unreadable'
}
