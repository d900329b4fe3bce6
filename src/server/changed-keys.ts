/** Paths of the leaves in which two configurations differ, such as `listen.port`; lists count as leaves. */
export function changedKeys(before: unknown, after: unknown, path = ''): readonly string[] {
  if (isSection(before) && isSection(after)) {
    const names = [...new Set([...Object.keys(before), ...Object.keys(after)])]
    return names.flatMap((name) => changedKeys(before[name], after[name], path === '' ? name : `${path}.${name}`))
  }
  return JSON.stringify(before) === JSON.stringify(after) ? [] : [path]
}

function isSection(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
