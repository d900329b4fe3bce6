/** Mutants that no test can kill, and why. */

export type KnownSurvivor = {
  readonly file: string
  /** The line of the source that the mutant begins on, without the blanks around it. */
  readonly line: string
  /** What the mutant puts in the place of a part of it. */
  readonly replacement: string
  readonly reason: string
}

/** Mutants of one line of src/authorization, for all of which one reason is true. */
type Row = Omit<KnownSurvivor, 'replacement'> & { readonly replacements: readonly string[] }

const text = '"Stryker was here!"'
const list = '["Stryker was here"]'

const splitGivesOne = 'splitting gives one part at least, so the default is there for the types alone'
const fasterOnly = 'the answer is the same; it only takes longer'
const keptOnly = 'what is kept here is only found out again'
const notLookedAt = 'a tag that is named is told by not being any tag; nothing asks for this word'
const policyNotMade = 'a policy with a fault is not made, so what is read beside the fault is used by nobody'
const otherThanUndefined = 'a value in a tree may be anything but undefined'
const differentPlaces = 'no two that are compared have the same'
const withoutProperty = 'the others have no such property, and reading it gives undefined all the same'

const inAuthorization: readonly Row[] = [
  {
    file: 'address-range.ts',
    line: "const [plain = ''] = address.split('%')",
    replacements: [text],
    reason: splitGivesOne,
  },
  {
    file: 'address-range.ts',
    line: "const [head = '', tail] = plain.split('::')",
    replacements: [text],
    reason: splitGivesOne,
  },
  {
    file: 'address-range.ts',
    line: 'const back = tail === undefined ? [] : hextets(tail)',
    replacements: [list],
    reason: 'without :: all eight numbers stand in front, and what comes behind them is not looked at',
  },
  {
    file: 'address-range.ts',
    line: 'const all = [...front, ...Array.from({ length: 8 - front.length - back.length }, () => 0), ...back]',
    replacements: ['() => undefined'],
    reason: 'a number that is missing counts as 0',
  },
  {
    file: 'address-range.ts',
    line: "if (text === '') return []",
    replacements: ['false', text, list],
    reason: 'what is no number counts as 0, and stands in the place of one of the zeros beside it',
  },
  {
    file: 'asker.ts',
    line: 'if (reach === undefined) return [undefined]',
    replacements: ['[]'],
    reason: 'the first of no tags is undefined too',
  },
  {
    file: 'asker.ts',
    line: "return [{ kind: 'named', tag: first }, ...others.map((tag) => ({ kind: 'named', tag }) as const)]",
    replacements: ['""'],
    reason: notLookedAt,
  },
  {
    file: 'compile-policy.ts',
    line: 'if (before !== undefined) return before',
    replacements: ['false'],
    reason: keptOnly,
  },
  { file: 'compile-policy.ts', line: 'known.set(principal, now)', replacements: [';'], reason: keptOnly },
  {
    file: 'compile-policy.ts',
    line: 'if (last?.repository === repository) return last.shelves',
    replacements: ['false'],
    reason: keptOnly,
  },
  { file: 'compile-policy.ts', line: 'last = { repository, shelves }', replacements: ['{}'], reason: keptOnly },
  {
    file: 'compile-policy.ts',
    line: 'if (found !== undefined && entry.order >= found.order) break',
    replacements: ['entry.order > found.order'],
    reason: 'only a rule and itself, at two of its patterns, have the same order',
  },
  {
    file: 'conditions.ts',
    line: "method: principal.kind === 'user' ? principal.method : undefined,",
    replacements: ['true'],
    reason: withoutProperty,
  },
  { file: 'conditions.ts', line: 'wallTimes.set(timeZone, time)', replacements: [';'], reason: keptOnly },
  { file: 'conditions.ts', line: 'wallClocks.set(timeZone, clock)', replacements: [';'], reason: keptOnly },
  {
    file: 'conditions.ts',
    line: "if (methods !== undefined) add('methods', ({ method }) => method !== undefined && methods.has(method))",
    replacements: ['true'],
    reason: 'no set of methods holds undefined',
  },
  {
    file: 'evaluate.ts',
    line: "const tag = request.kind === 'manifest' && request.reference.kind === 'tag' ? request.reference.tag : undefined",
    replacements: ['true'],
    reason: withoutProperty,
  },
  {
    file: 'evaluate.ts',
    line: "judge.judge({ repository, action: 'overwrite', tags: { kind: 'named', tags: [tag] } }).kind === 'allowed'",
    replacements: ['""'],
    reason: notLookedAt,
  },
  {
    file: 'evaluate.ts',
    line: 'if (guarded.length === 0) return noPreconditions',
    replacements: ['false'],
    reason: 'of no tags nothing is asked',
  },
  {
    file: 'evaluate.ts',
    line: "const origin = request.kind === 'upload-start' ? request.mount?.origin : undefined",
    replacements: ['true', 'request.mount.origin'],
    reason: 'asked only where there is a mount',
  },
  {
    file: 'evaluate.ts',
    line: "if (request.kind !== 'upload-start' || request.mount === undefined) return request",
    replacements: ['false'],
    reason: withoutProperty,
  },
  {
    file: 'explain.ts',
    line: "const tags = access.type === 'repository' ? access.tags : undefined",
    replacements: ['true'],
    reason: withoutProperty,
  },
  {
    file: 'explain.ts',
    line: "return judge.judge({ repository, action: 'overwrite', tags: { kind: 'named', tags: [tag] } }).kind === 'allowed'",
    replacements: ['""'],
    reason: notLookedAt,
  },
  {
    file: 'explain.ts',
    line: 'for (const pattern of rule.on) index.at(pattern, () => true)',
    replacements: ['false'],
    reason: otherThanUndefined,
  },
  {
    file: 'load-policy.ts',
    line: '.sort((one, other) => (one.file < other.file ? -1 : 1))',
    replacements: ['one.file <= other.file'],
    reason: differentPlaces,
  },
  { file: 'load-policy.ts', line: 'return []', replacements: [list], reason: policyNotMade },
  {
    file: 'load-policy.ts',
    line: "if (!parsed.success) return `is no user name; it ${parsed.error.issues[0]?.message ?? 'is not valid'}`",
    replacements: ['parsed.error.issues[0].message', '""'],
    reason: 'what is not valid has one issue at least',
  },
  {
    file: 'load-policy.ts',
    line: "return subject.kind === 'fault' ? subject.sentence : undefined",
    replacements: ['true'],
    reason: withoutProperty,
  },
  {
    file: 'load-policy.ts',
    line: 'if (one.file !== other.file) return one.file < other.file ? -1 : 1',
    replacements: ['one.file <= other.file'],
    reason: differentPlaces,
  },
  {
    file: 'near-misses.ts',
    line: 'const distance = distanceOf(lacksOf(rule, asker, { action, tag, isRepository: true }))',
    replacements: ['false'],
    reason: 'all that are compared are as much further away',
  },
  {
    file: 'near-misses.ts',
    line: '(distance === nearest.distance && rank < nearest.rank)',
    replacements: ['rank <= nearest.rank'],
    reason: differentPlaces,
  },
  {
    file: 'pattern-index.ts',
    line: 'if (groups.length === 0) return found',
    replacements: ['false'],
    reason: fasterOnly,
  },
  {
    file: 'pattern-tree.ts',
    line: 'const suffix = textOf(pieces.at(-1)?.at(-1))',
    replacements: ['pieces.at(-1).at'],
    reason: splitGivesOne,
  },
  {
    file: 'pattern-tree.ts',
    line: ".reduce((longest, part) => (part.length > longest.length ? part : longest), '')",
    replacements: ['part.length >= longest.length'],
    reason: 'of two that are as long, either will do',
  },
  {
    file: 'pattern-tree.ts',
    line: 'const last = length === 0 ? 0 : text.length - length',
    replacements: ['false', 'text.length + length'],
    reason: 'the runs that are added are the same, or too short to be a key',
  },
  { file: 'pattern-tree.ts', line: 'if (reached.length === 0) return []', replacements: ['false'], reason: fasterOnly },
  { file: 'pattern-tree.ts', line: 'if (node.globs.size === 0) return', replacements: ['false'], reason: fasterOnly },
  {
    file: 'policy-store.ts',
    line: "reading.kind === 'ok' ? [{ file: reading.file, text: reading.text }] : [],",
    replacements: ['true', list],
    reason: 'faults are told the lines before, so all readings that come here are ok',
  },
  {
    file: 'policy-warnings.ts',
    line: 'return !isMutual || (ranks.get(other) ?? 0) < (ranks.get(rule) ?? 0)',
    replacements: ['(ranks.get(other) ?? 0) <= (ranks.get(rule) ?? 0)'],
    reason: differentPlaces,
  },
  {
    file: 'policy-warnings.ts',
    line: 'if (comparisons < maxComparisons || first === undefined) return warnings',
    replacements: ['false'],
    reason: 'a policy has a rule',
  },
  {
    file: 'policy-warnings.ts',
    line: "const [action = 'pull'] = rule.actions",
    replacements: ['""'],
    reason: 'a rule has an action',
  },
  {
    file: 'policy-warnings.ts',
    line: 'let fewest: readonly (readonly Rule[])[] = []',
    replacements: [list],
    reason: 'a rule has a subject and a pattern, whose candidates take its place',
  },
  {
    file: 'policy-warnings.ts',
    line: 'if (count < least) [fewest, least] = [found, count]',
    replacements: ['count <= least'],
    reason: 'of two that are as few, either will do',
  },
  {
    file: 'policy-warnings.ts',
    line: 'for (const pattern of wide.on) tree.at(pattern, () => true)',
    replacements: ['false'],
    reason: otherThanUndefined,
  },
  {
    file: 'policy-warnings.ts',
    line: "return [text, ...(memberships.get(name) ?? []).map((group) => `group:${group}`), 'authenticated']",
    replacements: [list],
    reason: 'a group of a name that nobody writes into a rule',
  },
  {
    file: 'policy-warnings.ts',
    line: 'if (known !== undefined) return known',
    replacements: ['false'],
    reason: keptOnly,
  },
  { file: 'policy-warnings.ts', line: 'conditionKeys.set(rule, key)', replacements: [';'], reason: keptOnly },
  { file: 'read-rules.ts', line: 'return []', replacements: [list], reason: policyNotMade },
  {
    file: 'refusal.ts',
    line: "overwrite: 'move tags of',",
    replacements: ['""'],
    reason: 'overwriting is asked alone, and has a sentence of its own; the word is there for the types',
  },
  {
    file: 'refusal.ts',
    line: "const message = verdict.kind === 'denied' ? verdict.message : undefined",
    replacements: ['true'],
    reason: withoutProperty,
  },
  {
    file: 'refusal.ts',
    line: "const tag = tags?.kind === 'named' ? tags.tags[0] : undefined",
    replacements: ['tags.kind'],
    reason: 'who asks for overwriting always says of which tags',
  },
  {
    file: 'repository-pattern.ts',
    line: "const [first = '', ...others] = text.split('*')",
    replacements: [text],
    reason: splitGivesOne,
  },
  {
    file: 'weekly-window.ts',
    line: "const weekday = parts.get('weekday')?.toLowerCase()",
    replacements: ["parts.get('weekday').toLowerCase"],
    reason: 'the format has a weekday',
  },
  {
    file: 'weekly-window.ts',
    line: "day: weekdays.find((day) => day === weekday) ?? 'mon',",
    replacements: ['""'],
    reason: 'the format names one of the seven',
  },
  {
    file: 'wildcard.ts',
    line: "const first = pieces[0] ?? ''",
    replacements: [text],
    reason: 'there is a piece; the default is there for the types alone',
  },
  {
    file: 'wildcard.ts',
    line: "const last = pieces.at(-1) ?? ''",
    replacements: [text],
    reason: 'there is a piece; the default is there for the types alone',
  },
  {
    file: 'wildcard.ts',
    line: "const piece = pieces[index] ?? ''",
    replacements: [text],
    reason: 'the index is one of a piece; the default is there for the types alone',
  },
]

export const knownSurvivors: readonly KnownSurvivor[] = [
  ...inAuthorization.flatMap(({ file, line, replacements, reason }) =>
    replacements.map((replacement) => ({ file: `src/authorization/${file}`, line, replacement, reason })),
  ),
  {
    file: 'src/registry/access.ts',
    line: "const from = request.kind === 'upload-start' ? request.mount?.from : undefined",
    replacement: 'true',
    reason: withoutProperty,
  },
]
