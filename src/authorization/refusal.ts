/** The one sentence that a refused person reads: who, what, where, and what the policy's author has to say about it. */
import type { Action } from '../registry/access.ts'
import type { Tag } from '../registry/name.ts'
import type { Principal } from '../registry/principal.ts'
import type { Judge, Judgement, Policy, Question } from './policy.ts'
import { protectionOfTag } from './protected-tags.ts'

type Asked = { readonly policy: Policy; readonly principal: Principal; readonly judge: Judge }

const phrases: Readonly<Record<Action, string>> = {
  pull: 'pull from',
  push: 'push to',
  delete: 'delete from',
  list: 'list',
  overwrite: 'move tags of',
}

/** Why an access was refused: `alice may not push to prod/api: releases go through ci`. */
export function refusalSentence(asked: Asked, { access, verdict }: Judgement): string {
  const who = nameOf(asked.principal)
  if (access.type === 'registry') return `${who} may not ${access.name === 'catalog' ? 'list anything' : 'log in'}`
  const question: Question = { repository: access.name, action: access.anyOf[0], tags: access.tags }
  if (question.action === 'overwrite') return overwriteRefusal(asked, question, verdict)
  // One of several would have been enough, and none was given: a refused HEAD is mostly the beginning of a push.
  const what = access.anyOf.map((each) => phrases[each]).join(' or ')
  const message = verdict.kind === 'denied' ? verdict.message : undefined
  return withMessage(`${who} may not ${what} ${access.name}`, message ?? messageOf(asked.judge, question, access.anyOf))
}

/** What the author of the policy says of the first of the actions of which something is said. */
function messageOf(judge: Judge, question: Question, actions: readonly Action[]): string | undefined {
  for (const action of actions) {
    const verdict = judge.judge({ ...question, action })
    const message = verdict.kind === 'denied' ? verdict.message : judge.messageFor({ ...question, action })
    if (message !== undefined) return message
  }
  return undefined
}

/** Why a tag that is there may not be given other content. */
export function overwriteSentence(asked: Asked, repository: string, tag: Tag): string {
  const question: Question = { repository, action: 'overwrite', tags: { kind: 'named', tags: [tag] } }
  return overwriteRefusal(asked, question, asked.judge.judge(question))
}

/** A rule that denies it has the first word, then the protection, then a rule that almost gives it. */
function overwriteRefusal(
  { policy, principal, judge }: Asked,
  question: Question,
  verdict: Judgement['verdict'],
): string {
  const { repository, tags } = question
  const tag = tags?.kind === 'named' ? tags.tags[0] : undefined
  const protection = tag === undefined ? policy.protectionIn(repository) : protectionOfTag(policy, repository, tag)
  const what =
    tag === undefined
      ? `delete by digest from ${repository}, which has protected tags`
      : `move or delete the protected tag ${tag} of ${repository}`
  const message = verdict.kind === 'denied' ? verdict.message : protection?.message
  return withMessage(`${nameOf(principal)} may not ${what}`, message ?? judge.messageFor(question))
}

function withMessage(sentence: string, message: string | undefined): string {
  return message === undefined ? sentence : `${sentence}: ${message}`
}

function nameOf(principal: Principal): string {
  return principal.kind === 'user' ? principal.name : 'anonymous'
}
