/**
 * What passport-http makes of a password with a colon in it. RFC 7617, section 2: only a user name cannot hold a
 * colon; everything behind the first one is the password. See 0004-authentication.md.
 */
import { conclude, openPackages } from './stage.mjs'

const packages = openPackages()
const { BasicStrategy } = packages.load('passport-http')

/** Hands the credentials to the strategy and returns the password that it asks the application to verify. */
function passwordSeenFor(credentials) {
  let seen = 'nothing: refused before the application was asked'
  const strategy = new BasicStrategy((name, password, done) => {
    seen = password
    done(null, { name })
  })
  Object.assign(strategy, { success() {}, fail() {}, error() {} })
  strategy.authenticate({ headers: { authorization: `Basic ${Buffer.from(credentials).toString('base64')}` } })
  return seen
}

process.stdout.write(`${packages.label('passport-http')}\n`)
const failures = []
for (const [sent, expected] of [
  ['correct', 'correct'],
  ['correct:horse:battery', 'correct'],
]) {
  const seen = passwordSeenFor(`alice:${sent}`)
  process.stdout.write(`  the client sends the password ${sent}, the application is asked about: ${seen}\n`)
  if (seen !== expected) failures.push(`${sent} was seen as ${expected}`)
}
conclude(failures)
