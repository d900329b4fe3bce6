/** The one sentence that a refused person reads: who, what, where, and what the policy's author has to say about it. */
import type { Action } from '../registry/access.ts'
import type { Tag } from '../registry/name.ts'
import type { Principal } from '../registry/principal.ts'
import type { Judge, Judgement, Policy, Question } from './policy.ts'
import { protectionOfTag } from './protected-tags.ts'

type Asked = { readonly policy: Policy; readonly principal: Principal; readonly judge: Judge }

const phrases: Readonly<Record<Exclude<Action, 'overwrite'>, string>> = {
  pull: 'pull from',
  push: 'push to',
  delete: 'delete from',
  list: 'list',
}

/** Why an access was refused: `alice may not push to prod/api: releases go through ci`. */
export function refusalSentence(asked: Asked, { access, action, verdict }: Judgement): string {
  const who = nameOf(asked.principal)
  if (access.type === 'registry') return `${who} may not ${access.name === 'catalog' ? 'list anything' : 'log in'}`
  const question: Question = { repository: access.name, action: action ?? access.anyOf[0], tags: access.tags }
  if (question.action === 'overwrite') return overwriteRefusal(asked, question, verdict)
  const message = verdict.kind === 'denied' ? verdict.message : asked.judge.messageFor(question)
  return withMessage(`${who} may not ${phrases[question.action]} ${access.name}`, message)
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
