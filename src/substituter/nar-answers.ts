import { isSameFile, isSameNar, type NarFileKey, type NarKey } from '../nix/nar-key.ts'
import { isOutage, type TrustedAnswer } from '../policy/answer.ts'
import type { Policy } from '../policy/policy.ts'
import type { Clock } from '../ports/clock.ts'
import type { ServedNar } from '../ports/evidence.ts'
import type { NarStore } from '../ports/nar-store.ts'
import { adoptNar, type VerifyStored } from './adopt-nar.ts'
import type { NarAnswer, NarPeek, NarRequest, NoClaim } from './answers.ts'
import type { PathFinder } from './find-path.ts'
import type { Inquiry } from './inquiry.ts'
import { storedBody, transferBody } from './nar-body.ts'
import { narKeyOf } from './render-narinfo.ts'
import type { ServedBodies } from './served-bodies.ts'
import { servedNar } from './served-nar.ts'
import type { StoreKeeper } from './store-keeper.ts'
import { mayStandIn } from './may-stand-in.ts'
import { claimsFor } from './run-transfer.ts'
import { judgeStored, type StoredAnswer } from './stored-answers.ts'
import type { RunningTransfer, Transfers } from './transfers.ts'

export type NarAnswerDeps = {
  readonly policy: () => Policy
  readonly finder: PathFinder
  readonly transfers: Transfers
  readonly store: NarStore
  readonly keeper: StoreKeeper
  readonly clock: Clock
  readonly verifyStored: VerifyStored
  readonly bodies: ServedBodies
}

type FoundNar = Extract<NarAnswer, { kind: 'found' }>
type UnopenedNar = Exclude<NarAnswer, FoundNar>
/** A NAR that can be handed out, and what is recorded once it is. */
export type OpenedNar = FoundNar & { readonly served: ServedNar }

/**
 * The NAR for a key, as the policy of this moment has it: one that is on its way, one that is stored, or one that a trusted claim
 * promises. Its body breaks off when it is trusted no more.
 */
export async function answerNar(
  deps: NarAnswerDeps,
  key: NarFileKey,
  { isResume, client }: NarRequest,
  signal: AbortSignal,
): Promise<OpenedNar | UnopenedNar> {
  if (isResume && deps.transfers.wasBroken(key)) return { kind: 'broken' }
  const running = deps.transfers.running(key)
  if (running !== null) return fromTransfer(deps, key, running, client, signal)
  const stored = await fromStore(deps, key, client)
  if (stored !== null) return stored
  const inquiry = deps.finder.inquire(key.storePathHash)
  const answer = await trustedFor(inquiry, key)
  if (answer === null) return noClaim(inquiry)
  const isAdopted = await adoptNar(deps, key, answer, inquiry)
  const adopted = isAdopted ? await fromStore(deps, key, client) : null
  return adopted ?? fromTransfer(deps, key, deps.transfers.start(key, inquiry), client, signal)
}

/** Whether the NAR would be answered, without fetching it. */
export async function peekNar(deps: NarAnswerDeps, key: NarFileKey): Promise<NarPeek | NoClaim> {
  const all = await deps.finder.stored(key.storePathHash)
  const found = all.find(({ stored }) => isSameFile(stored.key, key))
  const stored = found === undefined || isContradicted(deps, found) ? undefined : found.stored
  if (stored !== undefined) return { kind: 'found', etag: stored.etag, size: stored.fileBytes }
  const inquiry = deps.finder.inquire(key.storePathHash)
  const answer = await trustedFor(inquiry, key)
  return answer === null ? noClaim(inquiry) : { kind: 'found', etag: null, size: null }
}

/** A NAR that is stored under claims which are trusted now; `null` where there is none. */
async function fromStore(
  deps: NarAnswerDeps,
  key: NarFileKey,
  client: string,
): Promise<OpenedNar | null> {
  const records = await deps.finder.records(key.storePathHash)
  const trusted = (): StoredAnswer | undefined =>
    judgeStored(deps.policy(), records, deps.finder.names.expected(key.storePathHash)).find(
      ({ stored }) => isSameFile(stored.key, key),
    )
  const found = trusted()
  if (found === undefined || isContradicted(deps, found)) return null
  const { stored, answer } = found
  const file = await deps.store.open(key)
  if (file !== null && (await file.size()) === stored.fileBytes) {
    deps.keeper.used(key)
    const served = servedNar(answer, found.agreeing, deps.policy(), client)
    const body = storedBody(file, stored.fileBytes, stored.etag)
    const watched = deps.bodies.watch(body, () => trusted() !== undefined)
    const { upstream } = answer.claim
    return { kind: 'found', body: watched, upstream, isStored: true, served }
  }
  // Somebody removed or cut the file behind Weir's back: fetch it again.
  await file?.close()
  await deps.keeper.drop(stored)
  return null
}

/**
 * Whether a record that was not certain must not be served from: what the upstreams said lately contradicts it, as far as that is
 * remembered, or the rule wants everybody's word and nobody was asked.
 */
function isContradicted({ policy, finder }: NarAnswerDeps, found: StoredAnswer): boolean {
  const { certainIn, key } = found.stored
  const needsEverybody = found.answer.verdict.rule?.onDivergence === 'refuse'
  if (certainIn === policy().choiceEpoch) return false
  const inquiry = finder.known(key.storePathHash) ?? finder.fruitless(key.storePathHash)
  if (inquiry === null || inquiry.views.serving.choice.kind === 'wait') return needsEverybody
  return inquiry.trusted().length === 0 && !mayStandIn(found, inquiry)
}

/** A NAR on its way, as soon as a part of it may be handed out. */
async function fromTransfer(
  deps: NarAnswerDeps,
  key: NarFileKey,
  { transfer, inquiry }: RunningTransfer,
  client: string,
  signal: AbortSignal,
): Promise<OpenedNar | UnopenedNar> {
  const isTrusted = (): boolean => trustedNow(inquiry, key) !== null
  const body = deps.bodies.watch(transferBody(transfer), isTrusted)
  try {
    await transfer.moreThan(0, signal)
  } catch (error) {
    await body[Symbol.asyncDispose]()
    throw error
  }
  const answer = trustedNow(inquiry, key)
  if (answer !== null && (transfer.failure === null || transfer.released > 0)) {
    const served = servedNar(answer, claimsFor(inquiry, key), deps.policy(), client)
    return { kind: 'found', body, upstream: null, isStored: false, served }
  }
  await body[Symbol.asyncDispose]()
  return { kind: 'failed', failure: transfer.failure ?? { kind: 'refused', failures: [] } }
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
  const suspended = [...inquiry.askedUnder.suspended]
  return { kind: slots.some(isOutage) ? 'unknown' : 'absent', slots, suspended }
}
