import type { NarFileKey } from '../../nix/nar-key.ts'
import type { Clock } from '../../ports/clock.ts'
import type { NarOnItsWay } from '../../ports/nar-on-its-way.ts'
import { claimsFor, type TrustedAnswers } from '../finding/claims-for.ts'
import type { Transfer } from './transfer.ts'

/** The NARs that are on their way from upstreams, kept or not. */
export type Arrivals = {
  /** A transfer was started; it is listed until it is whole, or will not be. */
  began(key: NarFileKey, answers: TrustedAnswers, transfer: Transfer): void
  list(): readonly NarOnItsWay[]
}

type Arrival = {
  readonly key: NarFileKey
  readonly answers: TrustedAnswers
  readonly startedMs: number
}

export function createArrivals(clock: Clock): Arrivals {
  const running = new Map<Transfer, Arrival>()
  return {
    began(key, answers, transfer) {
      running.set(transfer, { key, answers, startedMs: clock.nowMs() })
      void transfer.ended.then(() => running.delete(transfer))
    },
    list: () =>
      [...running].map(([transfer, arrival]) => onItsWay(transfer, arrival, clock.nowMs())),
  }
}

function onItsWay(
  { progress }: Transfer,
  { key, answers, startedMs }: Arrival,
  nowMs: number,
): NarOnItsWay {
  const claims = claimsFor(answers, key)
  const giving = claims.find(({ claim }) => claim.upstream === progress.upstream) ?? claims[0]
  const narinfo = giving?.claim.narinfo
  const expected = narinfo?.fileSize ?? null
  return {
    ...{ path: narinfo?.storePath.baseName ?? key.storePathHash, hash: key.storePathHash },
    ...{ upstream: progress.upstream ?? giving?.claim.upstream ?? '', startedMs },
    fetchedBytes: progress.fetchedBytes,
    expectedBytes: expected === null ? null : Number(expected),
    bytesPerSecond: progress.bytesPerSecond(nowMs),
    ...{ readers: progress.readers, clients: progress.clients },
  }
}
