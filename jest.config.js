/** Node strips the types itself: no transformer stands between the sources and the tests. */
export default {
  testEnvironment: 'node',
  transform: {},
  extensionsToTreatAsEsm: ['.ts'],
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  testPathIgnorePatterns: ['/node_modules/', '<rootDir>/.wharfgate/'],
  modulePathIgnorePatterns: ['<rootDir>/.wharfgate/', '<rootDir>/dist/'],
  // What the gateways of a run wrote is searched for secrets when it ends.
  globalSetup: '<rootDir>/test/support/canary-setup.ts',
  globalTeardown: '<rootDir>/test/support/canary-search.ts',
  // For what hangs: a slow machine gets its time, and what is awaited has a deadline of its own (test/support/until.ts).
  testTimeout: 120_000,
  maxWorkers: 2,
}
