import { LRUCache } from 'lru-cache'
import { isSameNar, type NarKey } from '../nix/nar-key.ts'
import type { StoreDir, StorePathHash } from '../nix/store-path.ts'
import type { AnswerSlot, TrustedAnswer } from '../policy/choose.ts'
import type { StoredNar } from '../ports/catalog.ts'
import type { Clock } from '../ports/clock.ts'
import type { NarStore } from '../ports/nar-store.ts'
import { adoptNar, type VerifyStored } from './adopt-nar.ts'
import type { PathFinder, StoredAnswer } from './find-path.ts'
import type { Inquiry } from './inquiry.ts'
import { type NarBody, storedBody, transferBody } from './nar-body.ts'
import { narKeyOf, renderNarinfo, type Signing } from './render-narinfo.ts'
import type { StoreKeeper } from './store-keeper.ts'
import type { Transfer, TransferFailure } from './transfer.ts'
import type { Transfers } from './transfers.ts'

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

/** What Weir answers to a client: the use-cases behind the cache's routes. */
export type Substituter = {
  narinfo(hash: StorePathHash): Promise<NarinfoAnswer>
  /** `isResume`: a part of the NAR is asked for, to go on from an earlier body. The body is the caller's to dispose of. */
  nar(key: NarKey, request: { readonly isResume: boolean }, signal: AbortSignal): Promise<NarAnswer>
  /** What a HEAD asks for: whether the NAR would be answered, without fetching it. */
  peek(key: NarKey): Promise<NarPeek | NoClaim>
  /** Forgets the answers about a path: its NAR came or went. */
  changed(key: NarKey): void
}

export type SubstituterDeps = {
  readonly storeDir: StoreDir
  readonly signing: Signing
  readonly finder: PathFinder
  readonly transfers: Transfers
  readonly store: NarStore
  readonly keeper: StoreKeeper
  readonly clock: Clock
  readonly verifyStored: VerifyStored
}

/** An answer that is ready to be given again. */
type Known = {
  readonly answer: TrustedAnswer
  readonly stored: StoredNar | null
  readonly body: Buffer
}

const maxKnownBytes = 32 * 1024 * 1024
/** An answer that waits for its NAR is made anew after this time, so that its upstreams are asked again some day. */
const knownMs = 10 * 60_000

export function createSubstituter(deps: SubstituterDeps): Substituter {
  const known = new LRUCache<StorePathHash, Known>({
    maxSize: maxKnownBytes,
    ttl: knownMs,
    sizeCalculation: ({ body }) => 1000 + 6 * body.length,
  })

  const remember = (answer: TrustedAnswer, stored: StoredNar | null): Known => {
    const text = renderNarinfo(answer.verdict, deps.storeDir, deps.signing, stored)
    const entry = { answer, stored, body: Buffer.from(text) }
    known.set(answer.claim.narinfo.storePath.hash, entry)
    return entry
  }

  const narinfoOf = ({ answer, stored, body }: Known): NarinfoAnswer => {
    if (stored !== null) deps.keeper.used(stored.key)
    return { kind: 'found', body, upstream: answer.claim.upstream, isStored: stored !== null }
  }

  const storedNar = async (key: NarKey): Promise<StoredAnswer | null> => {
    const entry = known.get(key.storePathHash)
    const stored = entry?.stored ?? null
    if (entry !== undefined && stored !== null && isSameNar(stored.key, key)) {
      return { answer: entry.answer, stored }
    }
    const all = await deps.finder.stored(key.storePathHash)
    return all.find(({ stored }) => isSameNar(stored.key, key)) ?? null
  }

  const openStored = async (key: NarKey): Promise<NarAnswer | null> => {
    const found = await storedNar(key)
    if (found === null) return null
    const { stored, answer } = found
    const file = await deps.store.open(key)
    if (file !== null && (await file.size()) === stored.fileBytes) {
      deps.keeper.used(key)
      const body = storedBody(file, stored.fileBytes, stored.etag)
      return { kind: 'found', body, upstream: answer.claim.upstream, isStored: true }
    }
    // Somebody removed or cut the file behind Weir's back: fetch it again.
    await file?.close()
    await deps.keeper.drop(stored)
    return null
  }

  return {
    async narinfo(hash) {
      const entry = known.get(hash)
      if (entry !== undefined) return narinfoOf(entry)
      const [stored] = await deps.finder.stored(hash)
      if (stored !== undefined) return narinfoOf(remember(stored.answer, stored.stored))
      const inquiry = deps.finder.inquire(hash)
      const choice = await inquiry.chosen
      if (choice.kind !== 'trusted') return { kind: choice.kind, slots: inquiry.slots }
      return narinfoOf(remember(choice.answer, null))
    },

    async nar(key, { isResume }, signal) {
      if (isResume && deps.transfers.wasBroken(key)) return { kind: 'broken' }
      const running = deps.transfers.running(key)
      if (running !== null) return transferAnswer(running, signal)
      const stored = await openStored(key)
      if (stored !== null) return stored
      const inquiry = deps.finder.inquire(key.storePathHash)
      const answer = await trustedFor(inquiry, key)
      if (answer === null) return noClaim(inquiry)
      const adopted = (await adoptNar(deps, key, answer)) ? await openStored(key) : null
      return adopted ?? transferAnswer(deps.transfers.start(key, inquiry), signal)
    },

    async peek(key) {
      const stored = await storedNar(key)
      if (stored !== null) {
        return { kind: 'found', etag: stored.stored.etag, size: stored.stored.fileBytes }
      }
      const inquiry = deps.finder.inquire(key.storePathHash)
      const answer = await trustedFor(inquiry, key)
      return answer === null ? noClaim(inquiry) : { kind: 'found', etag: null, size: null }
    },

    changed(key) {
      known.delete(key.storePathHash)
    },
  }
}

async function transferAnswer(transfer: Transfer, signal: AbortSignal): Promise<NarAnswer> {
  const body = transferBody(transfer)
  try {
    await transfer.moreThan(0, signal)
  } catch (error) {
    await body[Symbol.asyncDispose]()
    throw error
  }
  if (transfer.failure !== null && transfer.released === 0) {
    await body[Symbol.asyncDispose]()
    return { kind: 'failed', failure: transfer.failure }
  }
  return { kind: 'found', body, upstream: null, isStored: false }
}

/** The preferred trusted claim for exactly this NAR: any upstream's will do, so all are awaited before there is none. */
async function trustedFor(inquiry: Inquiry, key: NarKey): Promise<TrustedAnswer | null> {
  const find = (): TrustedAnswer | null =>
    inquiry.trusted().find(({ verdict }) => isSameNar(narKeyOf(verdict.narinfo), key)) ?? null
  await inquiry.chosen
  const early = find()
  if (early !== null) return early
  await inquiry.settled
  return find()
}

function noClaim(inquiry: Inquiry): NoClaim {
  const isOutage = inquiry.slots.some(
    ({ optional, answer }) => answer?.kind === 'unknown' && !optional,
  )
  return { kind: isOutage ? 'unknown' : 'absent', slots: inquiry.slots }
}
