import { isSameNar, type NarKey } from '../nix/nar-key.ts'
import type { StoreDir, StorePathHash } from '../nix/store-path.ts'
import { type AnswerSlot, isOutage, type TrustedAnswer } from '../policy/answer.ts'
import type { Policy } from '../policy/policy.ts'
import type { RefusalReason } from '../policy/verdict.ts'
import type { Clock } from '../ports/clock.ts'
import type { Evidence, ServedNar } from '../ports/evidence.ts'
import type { Meter } from '../ports/meter.ts'
import type { NarStore } from '../ports/nar-store.ts'
import { adoptNar, type VerifyStored } from './adopt-nar.ts'
import { confirmStored } from './confirm-stored.ts'
import type { PathFinder } from './find-path.ts'
import type { Inquiry } from './inquiry.ts'
import { createKnownNarinfos, type KnownNarinfo } from './known-narinfos.ts'
import { type NarBody, storedBody, transferBody } from './nar-body.ts'
import { narKeyOf, type Signing } from './render-narinfo.ts'
import { createServedBodies } from './served-bodies.ts'
import { servedNar } from './served-nar.ts'
import type { StoreKeeper } from './store-keeper.ts'
import { judgeStored } from './stored-answers.ts'
import type { TransferFailure } from './transfer.ts'
import type { RunningTransfer, Transfers } from './transfers.ts'

/** Why a path has no trusted claim: nobody has it or all were refused, or somebody could not tell. */
export type NoClaim = {
  readonly kind: 'absent' | 'unknown'
  /** What each upstream said. */
  readonly slots: readonly AnswerSlot[]
}

export type NarinfoAnswer =
  | {
      readonly kind: 'found'
      readonly body: Buffer
      readonly upstream: string
      readonly rule: string | null
      /** Report only: why the policy would have refused it. */
      readonly wouldRefuse: RefusalReason | null
      readonly isStored: boolean
    }
  | NoClaim

export type NarAnswer =
  | {
      readonly kind: 'found'
      readonly body: NarBody
      readonly upstream: string | null
      readonly isStored: boolean
    }
  | NoClaim
  /** Trusted claims there are, but none of their files was the NAR. */
  | { readonly kind: 'failed'; readonly failure: TransferFailure }
  /** The resume of a body that was wrong. */
  | { readonly kind: 'broken' }

/** A NAR that would be answered; its ETag and size in bytes where they are known. */
export type NarPeek = {
  readonly kind: 'found'
  readonly etag: string | null
  readonly size: number | null
}

/** A request for a NAR. */
export type NarRequest = {
  /** A part of the NAR is asked for, to go on from an earlier body. */
  readonly isResume: boolean
  /** The client's address. */
  readonly client: string
}

/** What Weir answers to a client: the use-cases behind the cache's routes. */
export type Substituter = {
  narinfo(hash: StorePathHash): Promise<NarinfoAnswer>
  /** The body is the caller's to dispose of. */
  nar(key: NarKey, request: NarRequest, signal: AbortSignal): Promise<NarAnswer>
  /** What a HEAD asks for: whether the NAR would be answered, without fetching it. */
  peek(key: NarKey): Promise<NarPeek | NoClaim>
  /** Forgets the answers about a path: its NAR came or went, or its upstreams said something else. */
  changed(hash: StorePathHash): void
  /** Judges anew: forgets every answer, and cuts off who reads what is trusted no more. */
  policyChanged(): void
}

export type SubstituterDeps = {
  readonly policy: () => Policy
  readonly storeDir: StoreDir
  readonly signing: () => Signing
  readonly finder: PathFinder
  readonly transfers: Transfers
  readonly store: NarStore
  readonly keeper: StoreKeeper
  readonly clock: Clock
  readonly meter: Meter
  readonly evidence: Evidence
  readonly verifyStored: VerifyStored
}

type FoundNar = Extract<NarAnswer, { kind: 'found' }>
type UnopenedNar = Exclude<NarAnswer, FoundNar>
/** A NAR that can be handed out, and what is recorded once it is. */
type OpenedNar = FoundNar & { readonly served: ServedNar }

export function createSubstituter(deps: SubstituterDeps): Substituter {
  const known = createKnownNarinfos(deps)
  const bodies = createServedBodies()

  const narinfoOf = (entry: KnownNarinfo): NarinfoAnswer => {
    const { answer, stored, body, wouldRefuse } = entry
    if (stored !== null) deps.keeper.used(stored.key)
    if (wouldRefuse !== null) known.reportRefusal(entry, wouldRefuse)
    const { claim, verdict } = answer
    const rule = verdict.rule?.name ?? null
    return {
      ...{ kind: 'found', body, upstream: claim.upstream, rule, wouldRefuse },
      isStored: stored !== null,
    }
  }

  /** An answer to give now, and to remember; `null` where the upstreams must be asked. */
  const find = async (hash: StorePathHash): Promise<KnownNarinfo | NoClaim> => {
    const [stored] = await deps.finder.stored(hash)
    const fromStore = stored && { ...stored, isCertain: stored.stored.isCertain }
    if (fromStore?.isCertain === true) return known.make(fromStore)
    const inquiry = deps.finder.inquire(hash)
    const chosen = await inquiry.chosen
    // What came after the choice may have made it another.
    const { choice: now } = inquiry.views.serving
    const choice = now.kind === 'wait' ? chosen : now
    if (choice.kind === 'trusted') {
      return known.make(await confirmStored(deps, inquiry, choice.answer))
    }
    // What was stored when a better upstream could not tell is still the best that is known.
    return fromStore ? known.make(fromStore) : { kind: choice.kind, slots: inquiry.slots }
  }

  /** The records of a NAR that is stored and trusted, the one to serve first. */
  const openStored = async (key: NarKey, client: string): Promise<OpenedNar | null> => {
    const records = await deps.finder.records(key.storePathHash)
    const trusted = () =>
      judgeStored(deps.policy(), records, deps.finder.names.expected(key.storePathHash)).find(
        ({ stored }) => isSameNar(stored.key, key),
      )
    const found = trusted()
    if (found === undefined) return null
    const { stored, answer } = found
    const file = await deps.store.open(key)
    if (file !== null && (await file.size()) === stored.fileBytes) {
      deps.keeper.used(key)
      const body = storedBody(file, stored.fileBytes, stored.etag)
      const watched = bodies.watch(body, () => trusted() !== undefined)
      const served = servedNar(answer, deps.policy(), client)
      const { upstream } = answer.claim
      return { kind: 'found', body: watched, upstream, isStored: true, served }
    }
    // Somebody removed or cut the file behind Weir's back: fetch it again.
    await file?.close()
    await deps.keeper.drop(stored)
    return null
  }

  const transferAnswer = async (
    key: NarKey,
    { transfer, inquiry }: RunningTransfer,
    client: string,
    signal: AbortSignal,
  ): Promise<OpenedNar | UnopenedNar> => {
    const trusted = (): TrustedAnswer | null => trustedNow(inquiry, key)
    const body = bodies.watch(transferBody(transfer), () => trusted() !== null)
    try {
      await transfer.moreThan(0, signal)
    } catch (error) {
      await body[Symbol.asyncDispose]()
      throw error
    }
    const answer = trusted()
    if (answer !== null && (transfer.failure === null || transfer.released > 0)) {
      const served = servedNar(answer, deps.policy(), client)
      return { kind: 'found', body, upstream: null, isStored: false, served }
    }
    await body[Symbol.asyncDispose]()
    const failure = transfer.failure ?? { kind: 'refused', failures: [] }
    return { kind: 'failed', failure }
  }

  const nar = async (
    key: NarKey,
    { isResume, client }: NarRequest,
    signal: AbortSignal,
  ): Promise<OpenedNar | UnopenedNar> => {
    if (isResume && deps.transfers.wasBroken(key)) return { kind: 'broken' }
    const running = deps.transfers.running(key)
    if (running !== null) return transferAnswer(key, running, client, signal)
    const stored = await openStored(key, client)
    if (stored !== null) return stored
    const inquiry = deps.finder.inquire(key.storePathHash)
    const answer = await trustedFor(inquiry, key)
    if (answer === null) return noClaim(inquiry)
    const adopted = (await adoptNar(deps, key, answer, inquiry))
      ? await openStored(key, client)
      : null
    return adopted ?? transferAnswer(key, deps.transfers.start(key, inquiry), client, signal)
  }

  const peek = async (key: NarKey): Promise<NarPeek | NoClaim> => {
    const all = await deps.finder.stored(key.storePathHash)
    const stored = all.find(({ stored }) => isSameNar(stored.key, key))?.stored
    if (stored !== undefined) return { kind: 'found', etag: stored.etag, size: stored.fileBytes }
    const inquiry = deps.finder.inquire(key.storePathHash)
    const answer = await trustedFor(inquiry, key)
    return answer === null ? noClaim(inquiry) : { kind: 'found', etag: null, size: null }
  }

  return {
    async narinfo(hash) {
      const entry = known.get(hash)
      if (entry !== null) return narinfoOf(entry)
      const found = await underOnePolicy(deps, () => find(hash))
      if ('slots' in found) return found
      known.remember(found)
      return narinfoOf(found)
    },
    async nar(key, request, signal) {
      const answer = await underOnePolicy(
        deps,
        () => nar(key, request, signal),
        async (answer) => {
          if (answer.kind === 'found') await answer.body[Symbol.asyncDispose]()
        },
      )
      if (answer.kind !== 'found') return answer
      // What another policy discarded was handed out to nobody.
      const { served, ...found } = answer
      deps.evidence.served(served)
      return found
    },
    peek: (key) => underOnePolicy(deps, () => peek(key)),
    changed(hash) {
      known.forget(hash)
    },
    policyChanged() {
      known.clear()
      bodies.policyChanged()
    },
  }
}

/** Finds an answer by the policy of now: one that changed while the answer was looked for has it looked for again. */
async function underOnePolicy<Answer>(
  { policy }: Pick<SubstituterDeps, 'policy'>,
  find: () => Promise<Answer>,
  discard: (answer: Answer) => Promise<void> = () => Promise.resolve(),
): Promise<Answer> {
  for (;;) {
    const before = policy()
    const answer = await find()
    if (policy() === before) return answer
    await discard(answer)
  }
}

/** The preferred trusted claim for exactly this NAR: any upstream's will do, so all are awaited before there is none. */
async function trustedFor(inquiry: Inquiry, key: NarKey): Promise<TrustedAnswer | null> {
  await inquiry.chosen
  const early = trustedNow(inquiry, key)
  if (early !== null) return early
  await inquiry.settled
  return trustedNow(inquiry, key)
}

function trustedNow(inquiry: Inquiry, key: NarKey): TrustedAnswer | null {
  const trusted = inquiry.trusted()
  return trusted.find(({ verdict }) => isSameNar(narKeyOf(verdict.narinfo), key)) ?? null
}

function noClaim(inquiry: Inquiry): NoClaim {
  const { slots } = inquiry
  return { kind: slots.some(isOutage) ? 'unknown' : 'absent', slots }
}
