import { noTracer } from '../../src/ports/tracer.ts'
/** A whole substituter between upstreams in memory and a store in a folder. */
import { join } from 'node:path'
import { verifyStored as reallyVerify } from '../../src/ingest/verify-stored.ts'
import { publicKeyOf, type SecretKey } from '../../src/nix/signature.ts'
import type { StorePathHash } from '../../src/nix/store-path.ts'
import type { Lie } from '../../src/policy/names.ts'
import type { Policy } from '../../src/policy/policy.ts'
import type { Catalog } from '../../src/ports/catalog.ts'
import type { Hedging } from '../../src/ports/hedging.ts'
import type { Meter } from '../../src/ports/meter.ts'
import type { NarIngest } from '../../src/ports/nar-ingest.ts'
import type { NarStore } from '../../src/ports/nar-store.ts'
import type { Upstream } from '../../src/ports/upstream.ts'
import type { UpstreamHealth } from '../../src/ports/upstream-health.ts'
import { openDiskNarStore } from '../../src/store/disk/disk-nar-store.ts'
import { createImportUpstream } from '../../src/store/import-upstream.ts'
import { openSqliteCatalog } from '../../src/store/sqlite/sqlite-catalog.ts'
import { createAbsences } from '../../src/substituter/finding/absences.ts'
import type { VerifyStored } from '../../src/substituter/fetching/adopt-nar.ts'
import type { PinnedHashes } from '../../src/keeper/pinned-count.ts'
import { createPathFinder } from '../../src/substituter/finding/find-path.ts'
import type { NarEncoding } from '../../src/substituter/finding/named-file.ts'
import type { Reach } from '../../src/substituter/finding/reach.ts'
import type { SigningMode } from '../../src/substituter/finding/render-narinfo.ts'
import { createRefutedClaims } from '../../src/substituter/finding/refuted-claims.ts'
import { createStoring } from '../../src/keeper/storing.ts'
import { createStoreKeeper, type StoreKeeper } from '../../src/keeper/store-keeper.ts'
import { createSubstituter, type Substituter } from '../../src/substituter/substituter.ts'
import { createTransfers } from '../../src/substituter/fetching/transfers.ts'
import { storeDir } from '../nix/fixtures.ts'
import { countingStore } from './counting-store.ts'
import { createInlineIngest } from './fake-nar-ingest.ts'
import { createFixedClock, type FixedClock } from './fixed-clock.ts'
import { createMemoryEvidence } from './memory-evidence.ts'
import { createNullMeter } from './null-meter.ts'
import { createSilentLog } from './silent-log.ts'
import { keys } from './test-claims.ts'
import { testPolicy, type UpstreamChanges } from './test-policy.ts'
import { noHedging } from './no-hedging.ts'
import { createUpHealth } from './up-health.ts'
import { workFolder } from './work-folder.ts'

export type WorldOptions = {
  readonly dir: string
  /** In order of preference. */
  readonly upstreams: readonly Upstream[]
  /** What the policy says of single upstreams. */
  readonly of?: UpstreamChanges
  /** What else the policy says: without it there are no rules. */
  readonly policy?: Partial<Policy>
  /** The keys of the upstream `import`, which is the last one; without them there is none. */
  readonly importKeys?: readonly SecretKey[]
  /** How long it is believed of an upstream that it does not have a path; it is asked each time unless told. */
  readonly negativeTtlMs?: number
  /** Whether the configuration says that nobody is asked; a test that turns it on and off takes another policy with it. */
  readonly isOffline?: () => boolean
  /** Which upstreams are known to be down; they are asked all the same. */
  readonly isDown?: (upstream: string) => boolean
  readonly catalog?: Catalog
  readonly ingest?: NarIngest
  readonly clock?: FixedClock
  readonly mode?: SigningMode
  readonly encoding?: NarEncoding
  readonly verifyStored?: VerifyStored
  readonly maxBytes?: number
  readonly minFreeBytes?: (totalBytes: number) => number
  readonly pins?: PinnedHashes
  readonly verifyFirstBytes?: number
  /** When the next one of an `equivalent` group is asked; never unless told. */
  readonly hedging?: Hedging
  readonly maxTransfers?: number
  readonly meter?: Partial<Meter>
  readonly health?: Partial<UpstreamHealth>
  readonly store?: (store: NarStore) => NarStore
  readonly lied?: (hash: StorePathHash, lie: Lie) => void
}

export type World = Awaited<ReturnType<typeof createWorld>>

/** Puts it together as a running Weir does; the same folder and catalog again are a restart. */
export async function createWorld(options: WorldOptions) {
  const { dir, mode = 'add', importKeys, encoding = 'zstd' } = options
  const { verifyStored = reallyVerify } = options
  const clock = options.clock ?? createFixedClock()
  const log = createSilentLog()
  const evidence = createMemoryEvidence(clock)
  const catalog = options.catalog ?? openSqliteCatalog(':memory:')
  const disk = await openDiskNarStore(join(dir, 'cache'), storeDir)
  const store = countingStore(options.store?.(disk) ?? disk)
  const local = importKeys === undefined ? [] : [createImportUpstream(store)]
  const upstreams = [...options.upstreams, ...local]
  const byImport = { optional: true, keys: importKeys?.map(publicKeyOf) ?? [] }
  let policy = testPolicy(
    upstreams.map(({ name }) => name),
    { import: byImport, ...options.of },
    options.policy,
  )
  const base = {
    ...{ clock, log, evidence, catalog, store, tracer: noTracer },
    meter: createNullMeter(options.meter),
    policy: (): Policy => policy,
    health: createUpHealth(options.health),
  }
  const stopping = new AbortController()
  const signing = () => ({ mode, key: keys.weir })
  const keeper: StoreKeeper = await createStoreKeeper({
    ...base,
    limits: () => ({
      maxBytes: options.maxBytes ?? 2 ** 40,
      lowWatermark: 95,
      minFreeBytes: options.minFreeBytes ?? (() => 0),
    }),
    pins: options.pins ?? { has: () => false, hashes: () => [] },
    stopping: stopping.signal,
    changed: ({ storePathHash }) => {
      substituter.changed(storePathHash)
    },
  })
  const storing = createStoring({ ...base, keeper })
  const lies: Lie[] = []
  const refutedClaims = createRefutedClaims(clock)
  const absences = createAbsences({ clock, ttlMs: () => options.negativeTtlMs ?? 0 })
  const reach: Reach = {
    isOffline: options.isOffline ?? (() => false),
    isDown: options.isDown ?? (() => false),
    isRemote: (name) => !local.some((each) => each.name === name),
  }
  const finder = createPathFinder({
    ...base,
    ...{ absences, reach },
    hedging: options.hedging ?? noHedging,
    verifyFirstBytes: () => options.verifyFirstBytes ?? 2 ** 24,
    upstreams: () => (reach.isOffline() ? local : upstreams),
    isRefuted: refutedClaims.has,
    stopping: stopping.signal,
    lied: (hash, lie) => {
      lies.push(lie)
      options.lied?.(hash, lie)
    },
    reconsidered: (hash) => {
      substituter.changed(hash)
    },
  })
  const transfers = createTransfers({
    ...base,
    ...{ storeDir, signing, keeper, storing, verifyStored, stopping: stopping.signal },
    records: (hash) => finder.records(hash),
    ingest: options.ingest ?? createInlineIngest(options.upstreams),
    nar: () => ({ encoding, verifyFirstBytes: options.verifyFirstBytes ?? 2 ** 24, zstdLevel: 1 }),
    maxTransfers: options.maxTransfers ?? 24,
    refuted: (claim) => {
      const { hash } = claim.narinfo.storePath
      refutedClaims.note(claim)
      finder.forget(hash)
      substituter.changed(hash)
    },
    isRemote: reach.isRemote,
  })
  const substituter: Substituter = createSubstituter({
    ...base,
    ...{ storeDir, signing, finder, transfers, keeper, storing, verifyStored, reach },
    encoding: () => encoding,
  })
  const setPolicy = (next: Policy): void => {
    policy = next
    finder.policyChanged()
    transfers.policyChanged()
    substituter.policyChanged()
  }
  let epochs = 1
  return {
    ...base,
    ...{ dir, keeper, storing, finder, transfers, substituter, stopping, lies, absences },
    refutedClaims,
    /** Takes another policy, as a running Weir does. */
    setPolicy,
    /** Changes the policy, whose epoch becomes the next one. */
    changePolicy(change: Partial<Policy>) {
      epochs += 1
      const epoch = `epoch-${epochs}`
      setPolicy({ ...policy, epoch, choiceEpoch: epoch, ...change })
    },
  }
}

export type Tap = { teardown(act: () => unknown): unknown }

/** A world in a folder of its own where none is given, which is gone with the test. */
export async function world(
  t: Tap,
  options: Omit<WorldOptions, 'dir'> & { readonly dir?: string },
): Promise<World> {
  const made = await createWorld({ ...options, dir: options.dir ?? workFolder(t) })
  t.teardown(() => made.transfers.idle())
  return made
}
