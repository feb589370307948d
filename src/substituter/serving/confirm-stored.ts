import { isSameNar } from '../../nix/nar-key.ts'
import type { TrustedAnswer } from '../../policy/answer.ts'
import { readClaim } from '../../policy/claim.ts'
import type { Policy } from '../../policy/policy.ts'
import type { StoredClaim, StoredNar } from '../../ports/catalog.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Log } from '../../ports/log.ts'
import type { PathFinder } from '../finding/find-path.ts'
import type { Inquiry } from '../finding/inquiry.ts'
import type { NarinfoSource } from './known-narinfos.ts'
import { narKeyOf } from '../finding/render-narinfo.ts'
import type { StoreKeeper } from '../../keeper/store-keeper.ts'
import { storedRecord, wasHeldAgainst } from '../finding/stored-record.ts'

type Deps = {
  readonly policy: () => Policy
  readonly finder: Pick<PathFinder, 'records'>
  readonly keeper: StoreKeeper
  readonly clock: Clock
  readonly log: Log
}

/**
 * An upstream's answer, with its NAR's file where that is stored already: under a claim that was not certain, or that another policy
 * trusted. What the upstreams say now is then recorded with the file, so that they need not be asked again.
 */
export async function confirmStored(
  deps: Deps,
  inquiry: Inquiry,
  answer: TrustedAnswer,
): Promise<NarinfoSource> {
  const policy = deps.policy()
  const key = narKeyOf(answer.verdict.narinfo)
  const records = await deps.finder.records(key.storePathHash)
  const found = records.find((stored) => isSameNar(stored.key, key)) ?? null
  const stored = found !== null && keepsPromise(policy, found, answer) ? found : null
  if (stored !== null && deps.policy() === policy) {
    const at = { policy, nowMs: deps.clock.nowMs() }
    const record = storedRecord(stored.key, answer, inquiry, stored, at)
    const witnesses = [...record.witnesses, ...silentWitnesses(inquiry, answer, stored)]
    await deps.keeper
      .adopt({ ...record, witnesses, storedAtMs: stored.storedAtMs })
      .catch((error: unknown) => {
        // A catalog that fails costs another question to the upstreams some day.
        deps.log.error({ event: 'catalog.failed', err: error })
      })
  }
  return {
    answer,
    maySign: inquiry.maySign(answer),
    wouldRefuse: inquiry.wouldRefuse(answer),
    ...{ stored, isCertain: inquiry.views.serving.isCertain },
  }
}

/** What others said earlier who have not answered this time: their word still counts for what it was. */
function silentWitnesses(
  { slots }: Inquiry,
  { claim }: TrustedAnswer,
  stored: StoredNar,
): readonly StoredClaim[] {
  return [stored, ...stored.witnesses].filter(({ upstream }) => {
    const answer = slots.find((slot) => slot.upstream === upstream)?.answer ?? null
    return upstream !== claim.upstream && (answer === null || answer.kind === 'unknown')
  })
}

/** Whether the file was held against all that the answer promises: its NarSize, and its CA where it has one. */
function keepsPromise(policy: Policy, stored: StoredNar, answer: TrustedAnswer): boolean {
  const reading = readClaim(policy, stored.upstream, stored.key.storePathHash, stored.claim)
  if (reading.kind === 'malformed') return false
  const { narSize } = reading.claim.narinfo
  return narSize === answer.verdict.narinfo.narSize && wasHeldAgainst(answer, stored.verifiedCa)
}
