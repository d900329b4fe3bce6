/** Requests that are held before they are refused, for clients that try again at once. */
import type { Clock } from '../store/clock.ts'

/** Whoever may leave while it is held: a `ServerResponse` as it is. */
export type Leaving = {
  readonly destroyed: boolean
  once(event: 'close', listener: () => void): unknown
  off(event: 'close', listener: () => void): unknown
}

export type WaitingRoom = {
  /** Waits, and tells whether it did: not when the room is full or closed, or the client has left. It never rejects. */
  wait(ms: number, client: Leaving | undefined): Promise<boolean>
  /** Lets everybody go. */
  close(): void
}

export function createWaitingRoom(capacity: number, clock: Clock): WaitingRoom {
  const waiting = new Set<(waited: boolean) => void>()
  let isClosed = false
  return {
    wait: (ms, client) => {
      if (ms <= 0 || isClosed || waiting.size >= capacity || client?.destroyed === true) return Promise.resolve(false)
      return new Promise((resolve) => {
        const leave = (): void => {
          go(false)
        }
        const go = (waited: boolean): void => {
          waiting.delete(go)
          cancel()
          client?.off('close', leave)
          resolve(waited)
        }
        const cancel = clock.after(ms, () => {
          go(true)
        })
        waiting.add(go)
        client?.once('close', leave)
      })
    },
    close: () => {
      isClosed = true
      for (const go of [...waiting]) go(false)
    },
  }
}
