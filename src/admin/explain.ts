import type { StorePathHash } from '../nix/store-path.ts'
import type { Answer } from '../policy/answer.ts'
import type { Claim } from '../policy/claim.ts'
import type { Policy } from '../policy/policy.ts'
import { ruleFor } from '../policy/rule.ts'
import { type Views, wouldRefuse } from '../policy/views.ts'
import type { StoredNar } from '../ports/catalog.ts'
import type { Evidence } from '../ports/evidence.ts'
import type { PathFinder } from '../substituter/finding/find-path.ts'
import { judgeStored, viewsOfStored } from '../substituter/finding/stored-answers.ts'
import { explainRule } from './explain-rule.ts'
import { explainUpstreams } from './explain-upstreams.ts'
import { explainVerdict, explainWithoutClaims } from './explain-verdict.ts'
import type { ExplainedNar, Explanation } from './explanation.ts'
import { reasonForAll } from './reason-for-all.ts'
import { refusedReferences } from './refused-references.ts'

export type ExplainDeps = {
  readonly policy: () => Policy
  readonly finder: PathFinder
  readonly evidence: Pick<Evidence, 'findServed' | 'findEvents'>
}

const maxRecords = 1000
const maxEvents = 100

export type ExplainOptions = {
  /** Asks the upstreams, and for its references too; else what is known is explained. */
  readonly live: boolean
  /** Whose records are shown; with `all` also what happened, and which files of this machine are of no use. */
  readonly to: { readonly client: string } | 'all'
}

/** Explains a path. */
export async function explain(
  deps: ExplainDeps,
  hash: StorePathHash,
  { live, to }: ExplainOptions,
): Promise<Explanation> {
  const records = await deps.finder.records(hash)
  const { views: known, source } = await viewsOf(deps, hash, records, live)
  const views = to === 'all' ? known : withoutFiles(known)
  const policy = deps.policy()
  const { choice, slots } = views.serving
  const answer = choice.kind === 'trusted' ? choice.answer : null
  const claim =
    answer?.claim ?? claimOf(slots.find(({ answer }) => claimOf(answer))?.answer ?? null)
  const rule = claim === null ? null : ruleFor(policy.rules, claim.narinfo.storePath.name)
  return {
    hash,
    path: claim?.narinfo.storePath.baseName ?? null,
    policy: { epoch: policy.epoch, enforce: policy.enforce },
    ...(source === 'nothing'
      ? explainWithoutClaims(policy, hash)
      : explainVerdict(policy, views, rule)),
    upstream: answer?.claim.upstream ?? null,
    rule: rule && explainRule(rule),
    wouldRefuse: answer && wouldRefuse(views, answer),
    source,
    upstreams: explainUpstreams(policy, slots),
    stored: records.map((stored) => explainStored(policy, stored)),
    refusedReferences: claim === null ? [] : await refusedReferences(deps, claim, live),
    served: await deps.evidence.findServed({ hash, ...(to === 'all' ? {} : to) }, maxRecords),
    events: to === 'all' ? await deps.evidence.findEvents(hash, maxEvents) : [],
  }
}

/** What is to be explained: the inquiry that runs or is remembered, a new one where asked for, else what is stored. */
async function viewsOf(
  { policy, finder }: ExplainDeps,
  hash: StorePathHash,
  records: readonly StoredNar[],
  live: boolean,
): Promise<{ readonly views: Views; readonly source: Explanation['source'] }> {
  if (live) finder.forget(hash)
  const isStored = records.length > 0
  const earlier = finder.known(hash) ?? (isStored ? null : finder.fruitless(hash))
  const inquiry = live ? finder.inquire(hash) : earlier
  if (inquiry !== null) {
    await (live ? inquiry.everybody() : inquiry.settled)
    return { views: inquiry.views, source: live ? 'live' : 'remembered' }
  }
  const views = viewsOfStored(policy(), records, finder.names.expected(hash))
  return { views, source: isStored ? 'stored' : 'nothing' }
}

/** Why an upstream could not tell may name a file of this machine: which one is for its operator. */
function withoutFiles(views: Views): Views {
  const slots = views.serving.slots.map((slot) => {
    const { answer } = slot
    if (answer?.kind !== 'unknown') return slot
    return { ...slot, answer: { ...answer, reason: reasonForAll(answer.reason) } }
  })
  return { ...views, serving: { ...views.serving, slots } }
}

function explainStored(policy: Policy, stored: StoredNar): ExplainedNar {
  return {
    narHash: `sha256:${stored.key.narHash}`,
    upstream: stored.upstream,
    witnesses: stored.witnesses.map(({ upstream }) => upstream),
    fileBytes: stored.fileBytes,
    storedAtMs: stored.storedAtMs,
    isTrusted: judgeStored(policy, [stored], null).length > 0,
  }
}

function claimOf(answer: Answer | null): Claim | null {
  return answer !== null && 'claim' in answer ? answer.claim : null
}
