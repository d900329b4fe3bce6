/** Reading and changing values that are not checked yet; every change is a copy. */

/** What stands at a path of map keys; undefined where nothing does. */
export function valueAt(tree: unknown, path: readonly string[]): unknown {
  const [name, ...rest] = path
  if (name === undefined) return tree
  return isMap(tree) && Object.hasOwn(tree, name) ? valueAt(tree[name], rest) : undefined
}

/** Sets a value, and the maps around it where nothing stands yet. What is no map is left for the schema to refuse. */
export function withValue(tree: unknown, path: readonly string[], value: unknown): unknown {
  const [name, ...rest] = path
  if (name === undefined) return value
  if (tree !== undefined && tree !== null && !isMap(tree)) return tree
  const map = tree ?? {}
  return { ...map, [name]: withValue(valueAt(map, [name]), rest, value) }
}

/** Removes a key and leaves the maps around it. */
export function withoutValue(tree: unknown, path: readonly string[]): unknown {
  const [name, ...rest] = path
  if (name === undefined || !isMap(tree) || !Object.hasOwn(tree, name)) return tree
  if (rest.length > 0) return { ...tree, [name]: withoutValue(tree[name], rest) }
  return Object.fromEntries(Object.entries(tree).filter(([key]) => key !== name))
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
