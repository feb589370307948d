import { isMade } from '../../nix/compression.ts'
import { isSameFile, narFileName, type NarFileKey, type NarKey } from '../../nix/nar-key.ts'
import { isOpen, type TrustedAnswer } from '../../policy/answer.ts'
import type { Policy } from '../../policy/policy.ts'
import type { StoredNar } from '../../ports/catalog.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Log } from '../../ports/log.ts'
import type { NarStore } from '../../ports/nar-store.ts'
import { adoptNar, type VerifyStored } from '../fetching/adopt-nar.ts'
import { askAnew } from '../finding/ask-anew.ts'
import type { NarAnswer, NarPeek, NarRequest, NoClaim } from './answers.ts'
import { bringNar, follow, isUnwritten, trustedNow, type Ways } from './bring-nar.ts'
import { claimsFor } from '../finding/claims-for.ts'
import type { PathFinder } from '../finding/find-path.ts'
import type { Inquiry } from '../finding/inquiry.ts'
import { storedBody } from '../fetching/nar-body.ts'
import type { ServedBodies } from './served-bodies.ts'
import { servedNar } from './served-nar.ts'
import type { Storing } from '../../keeper/storing.ts'
import type { StoreKeeper } from '../../keeper/store-keeper.ts'
import type { PartialBodies } from './partial-bodies.ts'
import { sourceIn, type Stored, storedNar } from './stored-nar.ts'
import type { RunningTransfer, Transfers } from '../fetching/transfers.ts'

export type NarAnswerDeps = {
  readonly policy: () => Policy
  readonly finder: PathFinder
  readonly transfers: Transfers
  readonly store: NarStore
  readonly keeper: StoreKeeper
  readonly storing: Storing
  readonly log: Log
  readonly clock: Clock
  readonly verifyStored: VerifyStored
  readonly bodies: ServedBodies
  readonly partial: PartialBodies
}

/** A NAR that can be handed out. */
export type OpenedNar = Extract<NarAnswer, { kind: 'found' }>
export type UnopenedNar = Exclude<NarAnswer, OpenedNar>

/**
 * The NAR for a key, as the policy of this moment has it: one that is on its way, one that is stored, or one that a trusted claim
 * promises. Its body breaks off when it is trusted no more.
 */
export async function answerNar(
  deps: NarAnswerDeps,
  key: NarFileKey,
  request: NarRequest,
  signal: AbortSignal,
): Promise<OpenedNar | UnopenedNar> {
  const { isResume } = request
  if (isResume && deps.transfers.wasBroken(key)) return { kind: 'broken' }
  const answer = await findNar(deps, key, request, signal)
  if (answer.kind !== 'found' || !isResume || deps.partial.fits(key, answer.body.etag)) {
    return answer
  }
  await answer.body[Symbol.asyncDispose]()
  return { kind: 'broken' }
}

async function findNar(
  deps: NarAnswerDeps,
  key: NarFileKey,
  { client, begun = () => undefined }: NarRequest,
  signal: AbortSignal,
): Promise<OpenedNar | UnopenedNar> {
  const { transfers } = deps
  const bring = (ways: Ways): Promise<OpenedNar | UnopenedNar> => {
    const kept = (): RunningTransfer => {
      const running = ways.kept()
      begun()
      return running
    }
    return bringNar(deps, { ...ways, kept }, { key, client, signal })
  }
  await transfers.verified(key)
  const running = transfers.running(key)
  if (running !== null) {
    begun()
    const answer = await follow(deps, running, { key, client, signal })
    if (!isUnwritten(answer)) return answer
  }
  const stored = await storedNar(deps, key)
  const opened = await fromStore(deps, key, stored, client)
  if (opened !== null) {
    begun()
    return opened
  }
  const convert = async (): Promise<OpenedNar | null> => {
    if (stored.other === null) return null
    const from = sourceIn(stored, stored.other)
    const made = await bring({
      kept: () => transfers.convert(key, from, client),
      streamed: () => transfers.streamConverted(key, from, client),
    })
    return made.kind === 'found' ? made : null
  }
  // To make zstd of what is there costs no more than of what an upstream has; any other one is rather fetched ready-made.
  const isMadeFirst = key.compression === 'zstd'
  const early = isMadeFirst ? await convert() : null
  if (early !== null) return early
  const inquiry = deps.finder.inquire(key.storePathHash, client)
  const answer = await trustedFor(inquiry, key)
  const fetch = async (): Promise<OpenedNar | UnopenedNar> => {
    if (answer === null) return noClaim(inquiry)
    const fetched = await fetchNar(deps, key, answer, inquiry, client, bring)
    if (fetched.kind !== 'failed' || fetched.failure.kind !== 'unknown') return fetched
    const anew = await askAnew(deps.finder, key, inquiry, client)
    const other = anew && trustedNow(anew, key)
    return anew && other ? fetchNar(deps, key, other, anew, client, bring) : fetched
  }
  if (!isMadeFirst && !isOffered(inquiry, key)) return (await convert()) ?? (await fetch())
  const fetched = await fetch()
  if (fetched.kind === 'found' || isMadeFirst) return fetched
  return (await convert()) ?? fetched
}

/** The file that a trusted claim promises: one that is stored without a record, or an upstream's. */
async function fetchNar(
  deps: NarAnswerDeps,
  key: NarFileKey,
  answer: TrustedAnswer,
  inquiry: Inquiry,
  client: string,
  bring: (ways: Ways) => Promise<OpenedNar | UnopenedNar>,
): Promise<OpenedNar | UnopenedNar> {
  if (await adoptNar(deps, key, answer, inquiry)) {
    const adopted = await fromStore(deps, key, await storedNar(deps, key), client)
    if (adopted !== null) return adopted
  }
  return bring({
    kept: () => deps.transfers.start(key, inquiry, client),
    streamed: () => deps.transfers.stream(key, inquiry, client),
  })
}

/** Whether the NAR would be answered, without fetching it. */
export async function peekNar(deps: NarAnswerDeps, key: NarFileKey): Promise<NarPeek | NoClaim> {
  const { exact, other } = await storedNar(deps, key)
  if (exact !== null) {
    const { etag, fileBytes } = exact.stored
    return { kind: 'found', etag, size: fileBytes }
  }
  const canBeMade = isMade(key.compression)
  if (other !== null && canBeMade) return { kind: 'found', etag: null, size: null }
  const inquiry = deps.finder.inquire(key.storePathHash)
  const answer = await trustedFor(inquiry, key)
  // What is not made here somebody may have who was not needed so far.
  if (!canBeMade && !isOffered(inquiry, key)) await inquiry.everybody()
  return answer === null || !(canBeMade || isOffered(inquiry, key))
    ? noClaim(inquiry)
    : { kind: 'found', etag: null, size: null }
}

/** The file of a stored NAR; `null` where there is none. */
async function fromStore(
  deps: NarAnswerDeps,
  key: NarFileKey,
  { exact, all }: Stored,
  client: string,
): Promise<OpenedNar | null> {
  if (exact === null) return null
  const { stored, answer, agreeing } = exact
  const file = await deps.store.open(key)
  if (file !== null && (await file.size()) === stored.fileBytes) {
    deps.keeper.used(key)
    const served = servedNar(answer, agreeing, deps.policy(), client)
    const body = storedBody(file, stored, (error) => {
      // A sector that is lost stays so: whoever asks next gets the NAR from an upstream.
      deps.log.error({ event: 'store.unreadable', nar: narFileName(key), err: error })
      void drop(deps, stored)
    })
    const isTrusted = (): boolean => all().some((each) => isSameFile(each.stored.key, key))
    const watched = deps.bodies.watch(key, body, isTrusted)
    return { kind: 'found', body: watched, isStored: true, served }
  }
  // Somebody removed or cut the file behind Weir's back: fetch it again.
  await file?.close()
  await drop(deps, stored)
  return null
}

async function drop(
  { keeper, log }: Pick<NarAnswerDeps, 'keeper' | 'log'>,
  stored: StoredNar,
): Promise<void> {
  await keeper.drop(stored).catch((error: unknown) => {
    log.error({ event: 'catalog.failed', err: error })
  })
}

/** Whether somebody has a trusted file in the compression that a key names. */
function isOffered(inquiry: Inquiry, key: NarFileKey): boolean {
  return claimsFor(inquiry, key).some(({ claim }) => claim.narinfo.compression === key.compression)
}

/** The preferred trusted claim for exactly this NAR: any upstream's will do, so all are awaited before there is none. */
export async function trustedFor(inquiry: Inquiry, key: NarKey): Promise<TrustedAnswer | null> {
  await inquiry.chosen
  const early = trustedNow(inquiry, key)
  if (early !== null) return early
  await inquiry.everybody()
  return trustedNow(inquiry, key)
}

/** What there is to say where nothing is trusted. Whoever asks nobody by choice has no more than what is stored: the rest is absent. */
export function noClaim(inquiry: Inquiry): NoClaim {
  const { slots } = inquiry
  const suspended = [...inquiry.askedUnder.suspended]
  return { kind: slots.some(isOpen) ? 'unknown' : 'absent', slots, suspended }
}
