import { Readable } from 'node:stream'
import { RegistryError } from '../registry/error.ts'
import type { Grant } from '../registry/grant.ts'
import type { RepositoryName } from '../registry/name.ts'
import { maxManifestBytes } from './ask.ts'
import type { Ask, Asked, Question } from './ask.ts'
import { sendContinue } from './early-answer.ts'
import type { BodyFraming, Forwarding } from './request-headers.ts'
import { createBodyBudget, readBody } from './tag-guard-body.ts'
import { createTagGuard } from './tag-guard.ts'
import type { TagGuardSettings } from './tag-guard.ts'
import type { OpenUpstream, UpstreamCall } from './upstream-client.ts'

export type GuardedPushOptions = TagGuardSettings & {
  readonly ask: Ask
  readonly open: OpenUpstream
  /** How long a client may send nothing of its manifest, in milliseconds. */
  readonly clientInactivityMs: number
}

export type GuardedPush = {
  /**
   * Puts a manifest whose tags the grant lets be created but not moved: it is read and held, the tags are checked, and
   * it is sent. Undefined when the client left before it was sent, or before the answer was there; what was sent then
   * goes on, since the tags are kept until the upstream has answered.
   *
   * @throws RegistryError as the tag guard and the asking do
   */
  ask(
    question: Omit<Question, 'body' | 'call' | 'source'>,
    target: { readonly repository: RepositoryName } & Pick<Grant, 'preconditions'>,
    callFor: (body: BodyFraming) => UpstreamCall,
    about: Forwarding,
  ): Promise<Asked | undefined>
}

/** What all manifests that are held may take together, in bytes. */
const maxHeldBytes = 64 * 1024 * 1024
/** How long a client may take to send a manifest of at most 4 MiB, in milliseconds. */
const maxBodyMs = 60_000

export function createGuardedPush(options: GuardedPushOptions): GuardedPush {
  const { ask: asking, open, clientInactivityMs } = options
  const guard = createTagGuard(options)
  const budget = createBodyBudget(maxHeldBytes)
  return {
    ask: async (question, { repository, preconditions }, callFor, about) => {
      const { req, res, transfer } = question
      sendContinue(req, res)
      const limits = { maxBytes: maxManifestBytes, idleMs: clientInactivityMs, totalMs: maxBodyMs, budget }
      const held = await readBody(req, transfer, limits)
      if (held === undefined) return undefined
      const leaving = new AbortController()
      const onClose = (): void => {
        leaving.abort(new RegistryError('gatewayFault', { cause: new Error('the client left') }))
      }
      const hasLeft = (): boolean => res.destroyed
      res.once('close', onClose)
      try {
        if (hasLeft()) return undefined
        const body: BodyFraming =
          held.bytes.length === 0 ? { kind: 'none' } : { kind: 'sized', bytes: held.bytes.length }
        const call = callFor(body)
        const source = Readable.from([held.bytes], { objectMode: false })
        const push = { repository, ...preconditions, body: held.bytes, about, signal: leaving.signal }
        const put = () => asking.ask({ ...question, body, call, source }, (fresh) => open(call, fresh))
        const asked = await guard.guard(push, open, put)
        if (asked?.kind === 'response' && !hasLeft()) return asked
        if (asked?.kind === 'response') asked.response.destroy()
        return undefined
      } catch (error) {
        if (hasLeft()) return undefined
        throw error
      } finally {
        res.off('close', onClose)
        held.release()
      }
    },
  }
}
