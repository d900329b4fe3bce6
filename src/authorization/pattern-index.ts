import { createPatternTree } from './pattern-tree.ts'
import type { RepositoryPattern } from './repository-pattern.ts'

/** A repository as patterns with variables are compared with it, for one principal. */
export type AskedRepository = {
  readonly segments: readonly string[]
  /** What `${user}` stands for; nothing where the name cannot stand in a repository name. */
  readonly user: string | undefined
  /** What `${group}` stands for in turn; those alone that the repository name holds, since others match nothing. */
  readonly groups: readonly string[]
}

/** Values at patterns, found by a repository and whom the variables stand for. */
export type PatternIndex<T> = {
  /** The value that stands at a pattern, made where there is none yet. */
  at(pattern: RepositoryPattern, make: () => T): T
  /** The values at the patterns that match; one of them more than once where it matches for several groups. */
  matching(asked: AskedRepository): readonly T[]
}

/** Patterns with `${group}` are kept apart, since they alone are asked once for each group. */
export function createPatternIndex<T>(): PatternIndex<T> {
  const fixed = createPatternTree<T>()
  const perGroup = createPatternTree<T>()
  return {
    at: (pattern, make) => (pattern.variables.has('group') ? perGroup : fixed).at(pattern, make),
    matching: ({ segments, user, groups }) => {
      const found = fixed.matching(segments, { user })
      if (groups.length === 0) return found
      return [...found, ...groups.flatMap((group) => perGroup.matching(segments, { user, group }))]
    },
  }
}

/** @param groups those of the principal that can stand in a repository name */
export function askedRepository(
  repository: string,
  { user, groups }: Pick<AskedRepository, 'user' | 'groups'>,
): AskedRepository {
  return { segments: repository.split('/'), user, groups: groups.filter((group) => repository.includes(group)) }
}
