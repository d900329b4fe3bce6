import { parseRepositoryName } from '../../../../src/registry/name.ts'
import type { RepositoryName } from '../../../../src/registry/name.ts'

/** A name as the parser makes it; a test that misspells one fails. */
export function repository(text: string): RepositoryName {
  const name = parseRepositoryName(text)
  if (name === undefined) throw new Error(`${text} is no repository name`)
  return name
}

/** `team-0000/app` and so on, in order. */
export function manyRepositories(count: number): readonly RepositoryName[] {
  return Array.from({ length: count }, (_value, index) => repository(`team-${String(index).padStart(6, '0')}/app`))
}
