import passport from 'passport'
import { RegistryError } from '../registry/error.ts'
import type { Answer, Authenticator, LoginAttempt, UserPrincipal } from './authenticator.ts'

/** The shape of what `passport.authenticate` returns, which its types leave open. */
type LoginHandler = (request: object, response: object, next: (error?: unknown) => void) => void

const notMine = 'not mine'

/** Where the request that Passport is given holds the login. */
const held = Symbol('login attempt')

function holdsAttempt(request: object): request is { readonly [held]: LoginAttempt } {
  return held in request
}

/**
 * Makes a Passport strategy of every authenticator and returns the function that asks one of them by its name.
 *
 * The four answers in Passport's words: `success` is authenticated, `fail` is refused or, with the challenge `not mine`,
 * the next one's to say, `error` is unavailable. Passport writes properties to the request it is given (`login`,
 * `_sessionManager`); here that is an object of our own, which also keeps cookies, queries and bodies out of every
 * strategy's reach. There is no session, no `req.user`, and no response to write to: the answer is a value.
 */
export function createStrategies(
  authenticators: readonly Authenticator[],
): (strategy: string, attempt: LoginAttempt) => Promise<Answer> {
  const registry = new passport.Passport()
  for (const authenticator of authenticators) registry.use(authenticator.strategy, createStrategy(authenticator))

  function createStrategy(authenticator: Authenticator): passport.Strategy {
    return {
      authenticate(request) {
        if (!holdsAttempt(request)) {
          this.error(new Error('a strategy was asked without a login'))
          return
        }
        authenticator.check(request[held]).then(
          (answer) => {
            switch (answer.kind) {
              case 'authenticated':
                this.success(answer.principal)
                break
              case 'notMine':
                this.fail(notMine)
                break
              case 'refused':
                this.fail()
                break
              case 'unavailable':
                this.error(answer.cause)
                break
            }
          },
          (error: unknown) => {
            this.error(error)
          },
        )
      },
    }
  }

  return (strategy, attempt) =>
    new Promise((resolve, reject) => {
      const settle = (error: unknown, user: unknown, challenge: unknown) => {
        if (error instanceof RegistryError) reject(error)
        else if (isUser(user)) resolve({ kind: 'authenticated', principal: user })
        else if (user === false) resolve({ kind: challenge === notMine ? 'notMine' : 'refused' })
        else resolve({ kind: 'unavailable', cause: error })
      }
      const handle: unknown = registry.authenticate(strategy, { session: false }, settle)
      if (isHandler(handle)) handle({ [held]: attempt }, {}, reject)
      else reject(new TypeError('passport.authenticate returned no handler'))
    })
}

function isHandler(value: unknown): value is LoginHandler {
  return typeof value === 'function'
}

/** What a strategy here calls `success` with; everything else that may come out of Passport is nobody. */
function isUser(value: unknown): value is UserPrincipal {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'user'
}
