/**
 * The process under attack: an HTTP server whose only door is passport-ldapauth, set up as its README shows, with the
 * user name and the password from Basic credentials. Started by passport-ldapauth.mjs, ends with it.
 */
import http from 'node:http'
import { openPackages } from './stage.mjs'

const { load } = openPackages()
const passport = load('passport')
const LdapStrategy = load('passport-ldapauth')
const { server: ldap, ...options } = JSON.parse(process.env.REPRODUCTION_STRATEGY)

function credentialsLookup(request) {
  const text = Buffer.from(request.headers.authorization.slice('Basic '.length), 'base64').toString()
  const colon = text.indexOf(':')
  return { username: text.slice(0, colon), password: text.slice(colon + 1) }
}

passport.use(new LdapStrategy({ server: ldap, credentialsLookup, ...options }))

const server = http.createServer((request, response) => {
  const answer = (error, user) => {
    response.statusCode = error ? 500 : user ? 200 : 401
    response.end()
  }
  try {
    passport.authenticate('ldapauth', { session: false }, answer)(request, response, answer)
  } catch (error) {
    response.setHeader('X-Thrown', error.name)
    answer(error)
  }
})

server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }))
process.on('disconnect', () => process.exit(0))
