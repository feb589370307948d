import { LRUCache } from 'lru-cache'
import { formatStorePath, type StoreDir, type StorePathHash } from '../../nix/store-path.ts'
import type { TrustedAnswer } from '../../policy/answer.ts'
import type { Policy } from '../../policy/policy.ts'
import type { RefusalReason } from '../../policy/verdict.ts'
import type { MaySign } from '../../policy/views.ts'
import type { StoredNar } from '../../ports/catalog.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Evidence } from '../../ports/evidence.ts'
import type { Meter } from '../../ports/meter.ts'
import { expiryBy } from '../expiry.ts'
import type { PathFinder } from '../finding/find-path.ts'
import { type NarEncoding, namedFile } from '../finding/named-file.ts'
import { renderNarinfo, type Signing } from '../finding/render-narinfo.ts'

/** A trusted answer about a path, and what it rests on. */
export type NarinfoSource = {
  readonly answer: TrustedAnswer
  readonly maySign: MaySign
  readonly wouldRefuse: RefusalReason | null
  readonly stored: StoredNar | null
  /** Whether no better upstream could have said something else. */
  readonly isCertain: boolean
}

/** The same, ready to be given again. */
export type KnownNarinfo = NarinfoSource & { readonly policy: Policy; readonly body: string }

/** The narinfos that were answered lately. One that was made under another policy is never given. */
export type KnownNarinfos = {
  get(hash: StorePathHash): KnownNarinfo | null
  make(source: NarinfoSource): KnownNarinfo
  remember(entry: KnownNarinfo): void
  forget(hash: StorePathHash): void
  clear(): void
  /** Counts and records an answer that the policy would refuse. */
  reportRefusal(entry: KnownNarinfo, reason: RefusalReason): void
}

type Deps = {
  readonly policy: () => Policy
  readonly storeDir: StoreDir
  readonly signing: () => Signing
  readonly encoding: () => NarEncoding
  readonly finder: Pick<PathFinder, 'names'>
  readonly meter: Meter
  readonly evidence: Evidence
  readonly clock: Clock
}

const maxKnownBytes = 32 * 1024 * 1024
/** An answer that waits for its NAR is made anew after this time, so that its upstreams are asked again some day … */
const knownMs = 10 * 60_000
/** … and sooner where a better upstream could not tell. */
const uncertainMs = 30_000

export function createKnownNarinfos(deps: Deps): KnownNarinfos {
  const known = new LRUCache<StorePathHash, KnownNarinfo>({
    maxSize: maxKnownBytes,
    ttl: knownMs,
    ...expiryBy(deps.clock),
    sizeCalculation: ({ body }) => 1000 + 6 * body.length,
  })
  return {
    get(hash) {
      const entry = known.get(hash)
      return entry?.policy === deps.policy() ? entry : null
    },
    make(source) {
      const policy = deps.policy()
      const { answer, maySign, stored } = source
      const signing = { ...deps.signing(), maySign }
      const { narinfo } = answer.verdict
      const file = namedFile(deps.encoding(), narinfo, stored)
      const body = renderNarinfo(answer.verdict, deps.storeDir, signing, file)
      return { ...source, policy, body }
    },
    remember(entry) {
      // An answer by another policy is not remembered, nor what its references say.
      if (entry.policy !== deps.policy()) return
      deps.finder.names.note(entry.policy, entry.answer)
      const { hash } = entry.answer.claim.narinfo.storePath
      known.set(hash, entry, { ttl: entry.isCertain ? knownMs : uncertainMs })
    },
    forget(hash) {
      known.delete(hash)
    },
    clear() {
      known.clear()
    },
    reportRefusal({ answer: { claim } }, reason) {
      deps.meter.wouldRefuse(reason)
      const { storePath } = claim.narinfo
      const detail = `${formatStorePath(storePath, deps.storeDir)}: ${reason}`
      const { hash } = storePath
      deps.evidence.happened({ kind: 'would-refuse', hash, upstream: claim.upstream, detail })
    },
  }
}
