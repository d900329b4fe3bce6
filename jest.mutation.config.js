/** The tests that mutants of authorization/ and registry/access.ts are tried with: no gateway, no server, no set-up. */
export default {
  testEnvironment: './tools/mutation/first-failure.js',
  transform: {},
  extensionsToTreatAsEsm: ['.ts'],
  testMatch: ['<rootDir>/tools/mutation/every-test.test.ts'],
  setupFilesAfterEnv: ['<rootDir>/tools/mutation/fixed-seed.ts'],
  testTimeout: 60_000,
}
