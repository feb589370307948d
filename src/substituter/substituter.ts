import type { NarFileKey } from '../nix/nar-key.ts'
import type { StoreDir, StorePathHash } from '../nix/store-path.ts'
import { ruleFor } from '../policy/rule.ts'
import type { Evidence } from '../ports/evidence.ts'
import type { Log } from '../ports/log.ts'
import type { Meter } from '../ports/meter.ts'
import type { NarAnswer, NarinfoAnswer, NarPeek, NarRequest, NoClaim } from './serving/answers.ts'
import { confirmStored } from './serving/confirm-stored.ts'
import type { Inquiry } from './finding/inquiry.ts'
import {
  createKnownNarinfos,
  type KnownNarinfo,
  type NarinfoSource,
} from './serving/known-narinfos.ts'
import { namedFile, type NarEncoding } from './finding/named-file.ts'
import { mayStandIn } from './finding/may-stand-in.ts'
import { answerNar, type NarAnswerDeps, noClaim, peekNar } from './serving/nar-answers.ts'
import { createPartialBodies } from './serving/partial-bodies.ts'
import { canBeFetched, type Reach } from './finding/reach.ts'
import { narKeyOf, type Signing } from './finding/render-narinfo.ts'
import { createServedBodies } from './serving/served-bodies.ts'
import { underOnePolicy } from './serving/under-one-policy.ts'

export type * from './serving/answers.ts'

/** What Weir answers to a client: the use-cases behind the cache's routes. */
export type Substituter = {
  /** Upstreams are asked on behalf of the client, or else of Weir itself. */
  narinfo(hash: StorePathHash, client?: string): Promise<NarinfoAnswer>
  /** The body is the caller's to dispose of. */
  nar(key: NarFileKey, request: NarRequest, signal: AbortSignal): Promise<NarAnswer>
  /** What a HEAD asks for: whether the NAR would be answered, without fetching it. */
  peek(key: NarFileKey): Promise<NarPeek | NoClaim>
  /** Forgets the answers about a path: its NAR came or went, or its upstreams said something else. */
  changed(hash: StorePathHash): void
  /** Judges anew: forgets every answer, and cuts off who reads what is trusted no more. */
  policyChanged(): void
}

export type SubstituterDeps = Omit<NarAnswerDeps, 'bodies' | 'partial'> & {
  readonly reach: Reach
  readonly storeDir: StoreDir
  readonly signing: () => Signing
  readonly encoding: () => NarEncoding
  readonly log: Log
  readonly meter: Meter
  readonly evidence: Evidence
}

export function createSubstituter(deps: SubstituterDeps): Substituter {
  const known = createKnownNarinfos(deps)
  const partial = createPartialBodies(deps.clock, deps.store.interrupted)
  const bodies = createServedBodies(partial)
  const nars = { ...deps, bodies, partial }

  const narinfoOf = (entry: KnownNarinfo): NarinfoAnswer => {
    const { answer, stored, body, wouldRefuse } = entry
    if (stored !== null) deps.keeper.used(stored.key)
    if (wouldRefuse !== null) known.reportRefusal(entry, wouldRefuse)
    const { claim, verdict } = answer
    const { baseName, name } = claim.narinfo.storePath
    // Report only: what is served goes by no rule, and what would be refused by one.
    const { rule } = wouldRefuse === null ? verdict : { rule: ruleFor(entry.policy.rules, name) }
    return {
      ...{ kind: 'found', body, upstream: claim.upstream, wouldRefuse },
      ...{ rule: rule?.name ?? null, path: baseName },
      isStored: stored !== null,
    }
  }

  /** A narinfo whose NAR is not stored is of use only as long as its upstream can be asked for it. */
  const isUsable = ({ stored, answer: { claim } }: KnownNarinfo): boolean =>
    stored !== null || !deps.reach.isDown(claim.upstream)

  /** What is stored and certain, else what the upstreams say. */
  const find = async (
    hash: StorePathHash,
    client: string | undefined,
  ): Promise<KnownNarinfo | NoClaim> => {
    const [stored] = await deps.finder.stored(hash)
    if (stored?.stored.certainIn === deps.policy().choiceEpoch) {
      return known.make({ ...stored, isCertain: true })
    }
    const inquiry = deps.finder.inquire(hash, client)
    const chosen = await inquiry.chosen
    // What came after the choice may have made it another.
    const { choice: now } = inquiry.views.serving
    const choice = now.kind === 'wait' ? chosen : now
    if (choice.kind === 'trusted') {
      const source = await confirmStored(deps, inquiry, choice.answer)
      if (await canBeHad(deps, inquiry, source)) return known.make(source)
      // Whoever promises it has gone down meanwhile: that is no word on whether it is there.
      const isPromised = deps.reach.isRemote(choice.answer.claim.upstream)
      return { ...noClaim(inquiry), ...(isPromised && { kind: 'unknown' as const }) }
    }
    // Nor after what was said before an outage.
    const said = [inquiry, deps.finder.fruitless(hash) ?? inquiry]
    if (stored !== undefined && said.every((each) => mayStandIn(stored, each))) {
      return known.make({ ...stored, isCertain: false })
    }
    return noClaim(inquiry)
  }

  return {
    async narinfo(hash, client) {
      const entry = known.get(hash)
      if (entry !== null && isUsable(entry)) return narinfoOf(entry)
      const found = await underOnePolicy(deps, () => find(hash, client))
      if ('slots' in found) return found
      known.remember(found)
      return narinfoOf(found)
    },
    async nar(key, request, signal) {
      const answer = await underOnePolicy(
        deps,
        () => answerNar(nars, key, request, signal),
        async (answer) => {
          if (answer.kind === 'found') await answer.body[Symbol.asyncDispose]()
        },
      )
      if (answer.kind !== 'found') return answer
      // What another policy discarded was handed out to nobody.
      deps.evidence.served(answer.served)
      return answer
    },
    peek: (key) => underOnePolicy(deps, () => peekNar(nars, key)),
    changed(hash) {
      known.forget(hash)
    },
    policyChanged() {
      known.clear()
      bodies.policyChanged()
    },
  }
}

/** Whether the NAR of an answer is stored, under a record or without one, or somebody can be asked for it. */
async function canBeHad(
  { reach, store, encoding }: SubstituterDeps,
  inquiry: Inquiry,
  { stored, answer }: NarinfoSource,
): Promise<boolean> {
  const { narinfo } = answer.verdict
  const key = narKeyOf(narinfo)
  if (stored !== null || canBeFetched(reach, inquiry, key)) return true
  // Who was held back for somebody who is down by now may promise it too.
  if (!reach.isOffline() && inquiry.isHoldingBack) await inquiry.everybody()
  if (canBeFetched(reach, inquiry, key)) return true
  const { compression } = namedFile(encoding(), narinfo, null)
  const file = await store.open({ ...key, compression })
  await file?.close()
  return file !== null
}
