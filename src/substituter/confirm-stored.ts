import { formatContentAddress } from '../nix/content-address.ts'
import { isSameNar } from '../nix/nar-key.ts'
import type { Narinfo } from '../nix/narinfo.ts'
import type { TrustedAnswer } from '../policy/answer.ts'
import { readClaim } from '../policy/claim.ts'
import type { Policy } from '../policy/policy.ts'
import type { StoredNar } from '../ports/catalog.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { PathFinder } from './find-path.ts'
import type { Inquiry } from './inquiry.ts'
import type { NarinfoSource } from './known-narinfos.ts'
import { narKeyOf } from './render-narinfo.ts'
import type { StoreKeeper } from './store-keeper.ts'
import { storedRecord } from './stored-record.ts'

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
  const key = narKeyOf(answer.verdict.narinfo)
  const policy = deps.policy()
  const records = await deps.finder.records(key.storePathHash)
  const found = records.find((stored) => isSameNar(stored.key, key)) ?? null
  const stored = found !== null && wasHeldAgainst(policy, found, answer) ? found : null
  const { isCertain } = inquiry.views.serving
  if (stored !== null && deps.policy() === policy) {
    const said = { trusted: inquiry.trusted(), isCertain }
    const record = storedRecord(key, answer, said, stored, deps.clock.nowMs())
    await deps.keeper
      .adopt({ ...record, storedAtMs: stored.storedAtMs })
      .catch((error: unknown) => {
        // A catalog that fails costs another question to the upstreams some day.
        deps.log.error({ event: 'catalog.failed', err: error })
      })
  }
  return {
    answer,
    maySign: inquiry.maySign(answer),
    wouldRefuse: inquiry.wouldRefuse(answer),
    ...{ stored, isCertain },
  }
}

/** Whether the file was held against all that the answer promises: its NarSize, and its CA where it has one. */
function wasHeldAgainst(policy: Policy, stored: StoredNar, { verdict }: TrustedAnswer): boolean {
  const reading = readClaim(policy, stored.upstream, stored.key.storePathHash, stored.claim)
  if (reading.kind === 'malformed') return false
  const { narSize, ca } = verdict.narinfo
  const held = reading.claim.narinfo
  return held.narSize === narSize && (ca === null || caOf(held) === caOf(verdict.narinfo))
}

function caOf({ ca }: Pick<Narinfo, 'ca'>): string | null {
  return ca === null ? null : formatContentAddress(ca)
}
