/** What an {@link ExpiryQueue} orders; its owner reads and writes only `expiresAtMs`. */
export type Expiring = {
  /** In the clock's milliseconds. May be moved later without telling the queue. */
  expiresAtMs: number
  /** The end that the queue ordered it by, at or before its real one. */
  dueMs: number
  /** Where it stands in the heap; -1 where it is in none. */
  index: number
}

/** Gives back first what ends first; see {@link createExpiryQueue}. */
export type ExpiryQueue<Item extends Expiring> = {
  /** Adds an item that is in no queue. */
  readonly add: (item: Item) => void
  readonly remove: (item: Item) => void
  /** The item that ends first, which stays in the queue; nothing when there is none. */
  readonly first: () => Item | undefined
}

/**
 * Creates a heap by time of expiry. Counters get a later end with every request, so moving an end later costs nothing
 * here: an item is put right when it comes up. Each other step costs the logarithm of the number of items.
 */
export function createExpiryQueue<Item extends Expiring>(): ExpiryQueue<Item> {
  const heap: Item[] = []
  return {
    add: (item) => {
      item.dueMs = item.expiresAtMs
      rise(heap, item, heap.length)
    },
    remove: (item) => {
      const { index } = item
      const last = heap.pop()
      item.index = -1
      if (last === undefined || last === item) return
      if (last.dueMs < item.dueMs) rise(heap, last, index)
      else sink(heap, last, index)
    },
    first: () => {
      for (;;) {
        const top = heap[0]
        if (top === undefined || top.expiresAtMs <= top.dueMs) return top
        top.dueMs = top.expiresAtMs
        sink(heap, top, 0)
      }
    },
  }
}

/** Puts an item at a free place, or higher where those above end later. */
function rise(heap: Expiring[], item: Expiring, from: number): void {
  let index = from
  while (index > 0) {
    const above = heap[(index - 1) >> 1]
    if (above === undefined || above.dueMs <= item.dueMs) break
    place(heap, above, index)
    index = (index - 1) >> 1
  }
  place(heap, item, index)
}

/** Puts an item at a free place, or lower where those below end sooner. */
function sink(heap: Expiring[], item: Expiring, from: number): void {
  let index = from
  for (;;) {
    const left = heap[2 * index + 1]
    const right = heap[2 * index + 2]
    if (left === undefined) break
    const isRight = right !== undefined && right.dueMs < left.dueMs
    const sooner = isRight ? right : left
    if (sooner.dueMs >= item.dueMs) break
    place(heap, sooner, index)
    index = 2 * index + (isRight ? 2 : 1)
  }
  place(heap, item, index)
}

function place(heap: Expiring[], item: Expiring, index: number): void {
  heap[index] = item
  item.index = index
}
