import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { createExpiryQueue } from '../../../src/store/expiry-queue.ts'
import type { Expiring } from '../../../src/store/expiry-queue.ts'

type Item = Expiring & { readonly name: number }

function item(name: number, expiresAtMs: number): Item {
  return { name, expiresAtMs, dueMs: 0, index: -1 }
}

test('an empty queue has no first', () => {
  expect(createExpiryQueue<Item>().first()).toBeUndefined()
})

test('an item whose end moved later comes after those that now end sooner', () => {
  const queue = createExpiryQueue<Item>()
  const [early, late] = [item(1, 10), item(2, 20)]
  queue.add(early)
  queue.add(late)
  early.expiresAtMs = 30
  expect(queue.first()).toBe(late)
  queue.remove(late)
  expect(queue.first()).toBe(early)
  queue.remove(early)
  expect(queue.first()).toBeUndefined()
})

const step = fc.record({
  kind: fc.constantFrom('add', 'remove', 'later', 'pop'),
  pick: fc.nat({ max: 1_000 }),
  ms: fc.nat({ max: 50 }),
})

test('after any steps, the first is one that ends first', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const queue = createExpiryQueue<Item>()
      const items: Item[] = []
      for (const [name, { kind, pick, ms }] of steps.entries()) {
        const picked = items[pick % Math.max(1, items.length)]
        if (kind === 'add') {
          const added = item(name, ms)
          items.push(added)
          queue.add(added)
        } else if (picked !== undefined && kind === 'later') {
          picked.expiresAtMs += ms
        } else {
          const removed = kind === 'pop' ? queue.first() : picked
          if (removed === undefined) continue
          queue.remove(removed)
          items.splice(items.indexOf(removed), 1)
        }
        const least = Math.min(...items.map(({ expiresAtMs }) => expiresAtMs))
        expect(queue.first()?.expiresAtMs ?? Number.POSITIVE_INFINITY).toBe(least)
      }
    }),
  )
})
