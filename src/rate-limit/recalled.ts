/** Answers that are remembered; beyond it all are forgotten, so that who can make up names makes nothing but work. */
const capacity = 4_096

/** Remembers what `make`, which always answers the same, has answered. */
export function recalled<Key, Value>(make: (key: Key) => Value): (key: Key) => Value {
  const known = new Map<Key, Value>()
  return (key) => {
    const before = known.get(key)
    if (before !== undefined) return before
    if (known.size >= capacity) known.clear()
    const value = make(key)
    known.set(key, value)
    return value
  }
}
