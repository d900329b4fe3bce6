/** Mutants that no test can kill, and why. */

export type KnownSurvivor = {
  readonly file: string
  /** The line of the source that the mutant begins on, without the blanks around it. */
  readonly line: string
  /** What the mutant puts in the place of a part of it. */
  readonly replacement: string
  readonly reason: string
}

export const knownSurvivors: readonly KnownSurvivor[] = []
