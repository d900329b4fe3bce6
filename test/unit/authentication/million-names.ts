/**
 * Asks the lockout's script in memory about a million names, from twenty addresses, and prints how many keys there are
 * then and how many logins were let through. In a process of its own, since it takes ten times as long inside jest.
 */
import { askArguments, askLockout } from '../../../src/authentication/lockout-script.ts'
import type { MemoryData, MemoryValue } from '../../../src/store/store.ts'

const policy = { freeAttempts: 5, freeAttemptsPerAddress: 50, windowMs: 900_000, maxDelayMs: 900_000 }
const held = new Map<string, MemoryValue>()
const data: MemoryData = {
  get: (name) => held.get(name),
  set: (name, value) => held.set(name, value),
  delete: (name) => held.delete(name),
}
let admitted = 0
for (let number = 0; number < 1_000_000; number += 1) {
  const guess = { slot: (number >> 5) % 256, fingerprint: (number % 4_096).toString(16).padStart(3, '0') }
  const key = `lockout:{192.0.2.${number % 20}}`
  const { waitMs } = askLockout.parse(askLockout.inMemory(data, [key], askArguments(guess, policy), 1_000))
  if (waitMs === 0) admitted += 1
}
process.stdout.write(JSON.stringify({ keys: held.size, admitted }))
