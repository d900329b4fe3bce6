/**
 * What one request without a valid password does to a process that uses passport-ldapauth, and what its StartTLS
 * protects. See 0005-ldap.md.
 */
import { fork } from 'node:child_process'
import { join } from 'node:path'
import { alice, service, startLdapServer } from './ldap-server.mjs'
import { conclude, openPackages, within } from './stage.mjs'

const patienceMs = 5000
const packages = openPackages()
const failures = []

/** Starts the process under attack; `login` resolves with the status, or with what happened instead of one. */
async function startVictim(url, serverOptions, strategyOptions = {}) {
  const search = { searchBase: 'ou=people,dc=example,dc=org', searchFilter: '(uid={{username}})' }
  const strategy = { ...strategyOptions, server: { url, ...search, ...serverOptions } }
  const child = fork(join(import.meta.dirname, 'passport-ldapauth-victim.mjs'), [packages.folder], {
    env: { ...process.env, REPRODUCTION_STRATEGY: JSON.stringify(strategy) },
    silent: true,
  })
  let stderr = ''
  child.stderr.on('data', (chunk) => (stderr += chunk))
  const exited = new Promise((done) => child.once('close', done))
  const port = await new Promise((done) => child.once('message', (message) => done(message.port)))
  const login = async (name, password) => {
    const authorization = `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`
    const began = performance.now()
    const response = fetch(`http://127.0.0.1:${port}/`, { headers: { authorization } }).catch(() => undefined)
    if (!(await within(patienceMs, response))) return 'no answer'
    const status = (await response)?.status ?? 'connection lost'
    return `${status} after ${Math.round(performance.now() - began)} ms`
  }
  const reason = () => stderr.split('\n').find((line) => /^\w*(Error|Exception)\b/.test(line)) ?? ''
  return { login, exited, reason, exitCode: () => child.exitCode, end: () => child.kill('SIGKILL') }
}

function say(claim, holds, seen) {
  process.stdout.write(`${holds ? 'yes' : 'NO '}  ${claim}: ${seen}\n`)
  if (!holds) failures.push(claim)
}

const account = { bindDN: service.dn, bindCredentials: service.password }

/** Logins that must work as usual, so that the scenes after it prove something. */
async function playUsualLogins() {
  const ldap = await startLdapServer('unanswered')
  const victim = await startVictim(ldap.url, account)
  const right = await victim.login('alice', alice.password)
  say('alice with her password is let in', right.startsWith('200'), right)
  const wrong = await victim.login('alice', 'guess')
  say('alice with another password is refused', wrong.startsWith('401'), wrong)
  const unknown = await victim.login('mallory', 'guess')
  say('an unknown user is refused', unknown.startsWith('401'), unknown)
  victim.end()
  ldap.close()
}

/** One request, with a user name that nobody has and any password. */
async function playName(name, serverOptions, strategyOptions) {
  const ldap = await startLdapServer('unanswered')
  const victim = await startVictim(ldap.url, serverOptions, strategyOptions)
  const answer = await victim.login(name, 'anything')
  await within(1000, victim.exited)
  const died = victim.exitCode() !== null
  const fate = died ? `process exited with ${victim.exitCode()}: ${victim.reason()}` : 'process alive'
  victim.end()
  ldap.close()
  return { died, text: `${answer}; ${fate}` }
}

/** StartTLS is asked for by the configuration; the server is one that never gives it. */
async function playStartTls(startTls, serverOptions) {
  const ldap = await startLdapServer(startTls)
  const victim = await startVictim(ldap.url, {
    ...serverOptions,
    starttls: true,
    tlsOptions: { rejectUnauthorized: true },
  })
  const answer = await victim.login('alice', alice.password)
  victim.end()
  ldap.close()
  const crossed = (password) => {
    const line = ldap.seen.find((seen) => seen.endsWith(`password ${password}`))
    return [line !== undefined, line ?? 'never']
  }
  return { answer, crossed }
}

process.stdout.write(`${packages.label('passport-ldapauth')}, ${packages.label('ldapjs')}\n\nUsual logins\n`)
await playUsualLogins()

process.stdout.write('\nOne request, a user name that nobody has, no valid password\n')
for (const name of ["$'", '$`']) {
  const { died, text } = await playName(name, account)
  say(`the name ${name} ends the process`, died, text)
}
const handled = await playName("$'", account, { handleErrorsAsFailures: true })
say("$' ends it with handleErrorsAsFailures too", handled.died, handled.text)
const anonymous = await playName("$'", {})
say("without a service account $' is answered and the process lives", !anonymous.died, anonymous.text)

process.stdout.write('\nstarttls: true, and the server never answers StartTLS\n')
const unanswered = await playStartTls('unanswered', account)
say('the login succeeds all the same', unanswered.answer.startsWith('200'), unanswered.answer)
say("the service account's password crossed in clear", ...unanswered.crossed(service.password))
say("the user's password crossed in clear", ...unanswered.crossed(alice.password))

process.stdout.write('\nstarttls: true, and the server refuses StartTLS\n')
const refused = await playStartTls('refused', account)
say('the login fails', refused.answer.startsWith('500'), refused.answer)
say("the service account's password crossed in clear", ...refused.crossed(service.password))
conclude(failures)
