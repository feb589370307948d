import { formatContentAddress } from '../nix/content-address.ts'
import { formatHash } from '../nix/hash.ts'
import type { StorePath, StorePathHash } from '../nix/store-path.ts'
import type { Answer, AnswerSlot } from '../policy/answer.ts'
import { candidates } from '../policy/ask-order.ts'
import { blockOfHash, blockOfName } from '../policy/block.ts'
import type { Claim } from '../policy/claim.ts'
import type { Policy } from '../policy/policy.ts'
import { type Rule, ruleFor } from '../policy/rule.ts'
import { maySpeakFor } from '../policy/verdict.ts'
import type { Views } from '../policy/views.ts'
import { wouldRefuse } from '../policy/views.ts'
import type { StoredNar } from '../ports/catalog.ts'
import type { Evidence } from '../ports/evidence.ts'
import type { PathFinder } from '../substituter/find-path.ts'
import { judgeStored, viewsOfStored } from '../substituter/stored-answers.ts'
import { explainRule } from './explain-rule.ts'
import type { ExplainedClaim, ExplainedNar, ExplainedUpstream, Explanation } from './explanation.ts'

export type ExplainDeps = {
  readonly policy: () => Policy
  readonly finder: PathFinder
  readonly evidence: Pick<Evidence, 'findServed' | 'findEvents'>
}

const maxRecords = 1000
const maxEvents = 100
const maxLiveReferences = 200

export type ExplainOptions = {
  /** Asks the upstreams, and for its references too; else what is known is explained. */
  readonly live: boolean
  /** Whose records are shown; with `all` also what happened, and what would be refused of its references. */
  readonly to: { readonly client: string } | 'all'
}

/** Explains a path. */
export async function explain(
  deps: ExplainDeps,
  hash: StorePathHash,
  { live, to }: ExplainOptions,
): Promise<Explanation> {
  const records = await deps.finder.records(hash)
  const { views, source } = await viewsOf(deps, hash, records, live)
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
      ? withoutClaims(policy, hash)
      : { verdict: verdictOf(views), reason: reasonOf(policy, views, rule) }),
    upstream: answer?.claim.upstream ?? null,
    rule: rule && explainRule(rule),
    wouldRefuse: answer && wouldRefuse(views, answer),
    source,
    upstreams: explainUpstreams(policy, slots),
    stored: records.map((stored) => explainStored(policy, stored)),
    refusedReferences:
      claim === null || to !== 'all' ? [] : await refusedReferences(deps, claim, live),
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
    await inquiry.settled
    return { views: inquiry.views, source: live ? 'live' : 'remembered' }
  }
  const views = viewsOfStored(policy(), records, finder.names.expected(hash))
  return { views, source: isStored ? 'stored' : 'nothing' }
}

/** What can be said of a path of which no claim is at hand. */
function withoutClaims(
  { blocks }: Policy,
  hash: StorePathHash,
): Pick<Explanation, 'verdict' | 'reason'> {
  const block = blockOfHash(blocks, hash)
  return block === null
    ? { verdict: 'unknown', reason: 'nobody has asked for it lately, and it is not stored' }
    : { verdict: 'refused', reason: `blocked: ${block.reason}` }
}

function verdictOf({ serving: { choice, slots } }: Views): Explanation['verdict'] {
  switch (choice.kind) {
    case 'trusted':
    case 'unknown':
      return choice.kind
    case 'wait':
      return 'unknown'
    case 'absent':
      return slots.some(({ answer }) => answer?.kind === 'refused') ? 'refused' : 'absent'
  }
}

function reasonOf(policy: Policy, { serving }: Views, rule: Rule | null): string {
  const { choice, slots } = serving
  const byRule = rule === null ? 'no rule matches its name' : `the rule "${rule.name}" decides`
  const said = slots.flatMap(({ upstream, answer }) => {
    if (answer?.kind === 'refused') return [`${upstream}: ${answer.verdict.reason}`]
    return answer?.kind === 'unknown' ? [`${upstream}: ${answer.code}, ${answer.reason}`] : []
  })
  switch (choice.kind) {
    case 'trusted': {
      const { claim, verdict } = choice.answer
      const { voucher } = verdict
      const by =
        voucher.kind === 'signature'
          ? `signed by ${voucher.keyName}`
          : voucher.kind === 'content-address'
            ? 'its content address proves it'
            : 'that upstream is believed without a signature (insecure_unsigned)'
      return `${claim.upstream} has it, ${by}; ${byRule}`
    }
    case 'unknown':
    case 'wait':
      return `it cannot be told: ${said.join('; ')}`
    case 'absent':
      return said.length === 0
        ? 'nobody is known to have it'
        : `${said.join('; ')}; ${byRule}${rule === null && policy.unmatched === 'deny' ? ', and what none matches is refused' : ''}`
  }
}

function explainUpstreams(
  policy: Policy,
  slots: readonly AnswerSlot[],
): readonly ExplainedUpstream[] {
  const asked = slots.map(explainSlot)
  const others = candidates(policy)
    .map(({ name }) => name)
    .filter((name) => !asked.some(({ upstream }) => upstream === name))
  const suspended = [...policy.suspended].filter(
    (name) => !asked.some(({ upstream }) => upstream === name),
  )
  const unasked = (upstream: string, reason: string | null): ExplainedUpstream => ({
    ...{ upstream, reason },
    answer: 'not-asked',
    claim: null,
  })
  return [
    ...asked,
    ...others.map((name) => unasked(name, null)),
    ...suspended.map((name) => unasked(name, 'suspended')),
  ]
}

function explainSlot({ upstream, isAsked, answer }: AnswerSlot): ExplainedUpstream {
  if (answer === null) {
    return { upstream, answer: isAsked ? 'awaited' : 'not-asked', reason: null, claim: null }
  }
  switch (answer.kind) {
    case 'absent':
      return { upstream, answer: 'absent', reason: null, claim: null }
    case 'unknown':
      return {
        upstream,
        answer: 'unknown',
        reason: `${answer.code}, ${answer.reason}`,
        claim: null,
      }
    case 'trusted':
      return { upstream, answer: 'trusted', reason: null, claim: explainClaim(answer) }
    case 'refused': {
      const { reason, block } = answer.verdict
      const why = block === null ? reason : `${reason}: ${block.reason}`
      return { upstream, answer: 'refused', reason: why, claim: explainClaim(answer) }
    }
  }
}

function explainClaim({
  claim: { narinfo },
  verdict,
}: Extract<Answer, { kind: 'trusted' | 'refused' }>): ExplainedClaim {
  return {
    path: narinfo.storePath.baseName,
    narHash: formatHash(narinfo.narHash),
    narSize: narinfo.narSize.toString(),
    references: narinfo.references.length,
    ca: narinfo.ca === null ? null : formatContentAddress(narinfo.ca),
    rule: verdict.rule?.name ?? null,
    voucher: verdict.kind === 'trusted' ? verdict.voucher : null,
    signatures: verdict.evidence,
  }
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

async function refusedReferences(
  deps: ExplainDeps,
  { narinfo }: Claim,
  live: boolean,
): Promise<readonly { readonly path: string; readonly reason: string }[]> {
  const others = narinfo.references.filter(({ hash }) => hash !== narinfo.storePath.hash)
  const asked = live ? others.slice(0, maxLiveReferences) : others
  const findings = await Promise.all(
    asked.map(async (reference) => {
      const reason = await refusalOf(deps, reference, live)
      return reason === null ? [] : [{ path: reference.baseName, reason }]
    }),
  )
  return findings.flat()
}

async function refusalOf(
  { policy, finder }: ExplainDeps,
  { hash, name }: StorePath,
  live: boolean,
): Promise<string | null> {
  const now = policy()
  const block = blockOfName(now.blocks, name)
  if (block !== null) return `blocked: ${block.reason}`
  if (!candidates(now).some((upstream) => maySpeakFor(now, upstream.name, name))) {
    return 'no upstream may vouch for it'
  }
  const inquiry = live ? finder.inquire(hash) : finder.known(hash)
  if (inquiry === null) return null
  await inquiry.chosen
  const refused = inquiry.slots.flatMap(({ upstream, answer }) =>
    answer?.kind === 'refused' ? [`${upstream}: ${answer.verdict.reason}`] : [],
  )
  return inquiry.trusted().length === 0 && refused.length > 0 ? refused.join('; ') : null
}

function claimOf(answer: Answer | null): Claim | null {
  return answer !== null && 'claim' in answer ? answer.claim : null
}
