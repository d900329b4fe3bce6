import { RegistryError } from '../registry/error.ts'

/** One login's claim on a bounded number of places. */
export type Place = {
  /**
   * Takes a place; further calls do nothing.
   *
   * @throws {RegistryError} `loginsOverloaded` when every place is taken
   */
  take(): void
  isTaken(): boolean
  /** Gives it back, if there is one. */
  leave(): void
}

/** So many logins may hold a place at one time. */
export function createPlaces(limit: number): () => Place {
  let taken = 0
  return () => {
    let mine = 0
    return {
      take: () => {
        if (mine === 1) return
        if (taken >= limit) throw new RegistryError('loginsOverloaded')
        mine = 1
        taken += 1
      },
      isTaken: () => mine === 1,
      leave: () => {
        taken -= mine
        mine = 0
      },
    }
  }
}
