/** What patterns of repositories match, as the reference shows it and the tests hold it against the matcher. */

export type PatternRow = {
  readonly pattern: string
  readonly matches: readonly string[]
  readonly misses: readonly string[]
}

/** For the user `alice`, who is in the groups `web` and `ops`. */
export const patternTable: readonly PatternRow[] = [
  { pattern: 'app', matches: ['app'], misses: ['apps', 'my-app', 'team/app', 'app/x'] },
  { pattern: 'team/app', matches: ['team/app'], misses: ['team', 'team/apps', 'team/app/x', 'x/team/app', 'team/ap'] },
  { pattern: '*', matches: ['app', 'a'], misses: ['team/app', 'a/b/c'] },
  {
    pattern: 'team/*',
    matches: ['team/app', 'team/a.b_c-d'],
    misses: ['team', 'teamx/app', 'team/app/x', 'other/app'],
  },
  { pattern: '*/app', matches: ['team/app'], misses: ['app', 'a/b/app', 'team/apps'] },
  { pattern: 'team/*/cache', matches: ['team/app/cache'], misses: ['team/cache', 'team/a/b/cache', 'team/app/caches'] },
  { pattern: '*/*', matches: ['a/b'], misses: ['a', 'a/b/c'] },
  { pattern: '**', matches: ['app', 'team/app', 'a/b/c/d'], misses: [] },
  {
    pattern: 'team/**',
    matches: ['team/app', 'team/app/x', 'team/a/b/c/d'],
    misses: ['team', 'teams/app', 'x/team/app'],
  },
  { pattern: '**/app', matches: ['team/app', 'a/b/app'], misses: ['app', 'team/app/x', 'team/my-app'] },
  {
    pattern: 'team/**/cache',
    matches: ['team/a/cache', 'team/a/b/cache', 'team/cache/cache'],
    misses: ['team/cache', 'team/a/cache/x'],
  },
  { pattern: '**/cache/**', matches: ['a/cache/b', 'a/b/cache/c/d'], misses: ['cache/b', 'a/cache', 'cache'] },
  { pattern: '*/**', matches: ['a/b', 'a/b/c'], misses: ['a'] },
  { pattern: '**/*', matches: ['a/b', 'a/b/c'], misses: ['a'] },
  { pattern: '**/**', matches: ['a/b', 'a/b/c'], misses: ['a'] },
  {
    pattern: 'team/app-*',
    matches: ['team/app-web', 'team/app-a.b'],
    misses: ['team/app', 'team/app-web/x', 'team/apps-web'],
  },
  {
    pattern: 'team/app*',
    matches: ['team/app', 'team/apps', 'team/app-web'],
    misses: ['team/ap', 'team/app/x', 'team/my-app'],
  },
  { pattern: '*-web', matches: ['my-web', 'a-b-web'], misses: ['web', 'my-webs', 'team/my-web'] },
  { pattern: 'a*c', matches: ['ac', 'abc', 'a-c', 'acc'], misses: ['a', 'c', 'ab', 'a/c', 'acd'] },
  { pattern: 'a*b*c', matches: ['abc', 'axbyc', 'abbc'], misses: ['ac', 'acb', 'abcd'] },
  { pattern: '*b*', matches: ['b', 'abc', 'bb'], misses: ['a', 'a/b', 'ac'] },
  { pattern: 'ab*ba', matches: ['abba', 'abxba', 'ababa-ba'], misses: ['aba', 'ab', 'abbaa'] },
  { pattern: 'v1.0', matches: ['v1.0'], misses: ['v1x0', 'v10'] },
  { pattern: '${user}/**', matches: ['alice/app', 'alice/a/b'], misses: ['alice', 'bob/app', 'alice2/app', 'web/app'] },
  { pattern: 'home/${user}', matches: ['home/alice'], misses: ['home/bob', 'home/alice/x', 'home'] },
  { pattern: 'ci-${user}-*', matches: ['ci-alice-x'], misses: ['ci-alice', 'ci-alicex-x', 'ci-bob-x'] },
  { pattern: '${group}/*', matches: ['web/app', 'ops/app'], misses: ['dev/app', 'web', 'web/a/b', 'alice/app'] },
  { pattern: '${group}/${group}', matches: ['web/web', 'ops/ops'], misses: ['web/ops', 'ops/web'] },
  {
    pattern: '${group}/${user}/**',
    matches: ['web/alice/x', 'ops/alice/x'],
    misses: ['web/bob/x', 'alice/web/x', 'web/alice'],
  },
  { pattern: 'x-${group}', matches: ['x-web', 'x-ops'], misses: ['x-', 'web', 'x-webops', 'x-dev'] },
]
