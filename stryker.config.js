/** Mutation testing of what decides who may do what: `npm run mutate`, whose last result is docs/reference/mutation.md. */
export default {
  mutate: ['src/authorization/**/*.ts', 'src/registry/access.ts'],
  testRunner: 'jest',
  plugins: ['@stryker-mutator/jest-runner'],
  testRunnerNodeArgs: ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning'],
  jest: { projectType: 'custom', configFile: 'jest.mutation.config.js', enableFindRelatedTests: false },
  // What tests have made before the first of them begins is tried with all of them: let each make its own policy.
  coverageAnalysis: 'perTest',
  concurrency: 2,
  // Only what hangs is slow enough: a busy machine must not count as a test that found something.
  timeoutMS: 60_000,
  // The tests of the scope need none of these; each is copied otherwise.
  ignorePatterns: [
    '.ci',
    '.wharfgate',
    'bench',
    'certs',
    'dist',
    'docs',
    'helm',
    'policies',
    'test/conformance',
    'test/integration',
    'test/security',
    '*.log',
  ],
  // Only what changed since the last run, or is met by other tests, is tried again; `-- --force` tries everything.
  incremental: true,
  incrementalFile: '.wharfgate/mutation/incremental.json',
  tempDirName: '.wharfgate/mutation/sandbox',
  reporters: ['progress-append-only', 'json'],
  jsonReporter: { fileName: '.wharfgate/mutation/report.json' },
  // tools/mutate.ts compares the score with what it must be.
  thresholds: { high: 95, low: 90, break: null },
}
