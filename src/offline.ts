/**
 * What a command does by itself where no Weir can do it for it: a composition root like core.ts, of only those parts that the work
 * needs.
 */
import { mkdir } from 'node:fs/promises'
import { explain } from './admin/explain.ts'
import type { Explanation } from './admin/explanation.ts'
import { lift } from './admin/lift.ts'
import { createLivePolicy } from './admin/live-policy.ts'
import { createPinning, type Pinning } from './admin/pins.ts'
import { isRecalled, recall, type RecallReport } from './admin/recall.ts'
import { cacheLimits } from './cache-limits.ts'
import type { StorePathHash } from './nix/store-path.ts'
import { offlineUpkeep } from './offline-upkeep.ts'
import { openState } from './open-state.ts'
import type { Block } from './policy/block.ts'
import type { Policy } from './policy/policy.ts'
import type { Catalog } from './ports/catalog.ts'
import type { Clock } from './ports/clock.ts'
import type { Evidence, TrustEventRecord } from './ports/evidence.ts'
import type { Log } from './ports/log.ts'
import { noTracer } from './ports/tracer.ts'
import type { Settings } from './settings/settings.ts'
import { lockFolder } from './state/folder-lock.ts'
import { createImportUpstream } from './store/import-upstream.ts'
import { createAbsences } from './substituter/finding/absences.ts'
import type { PathLook } from './substituter/closure.ts'
import { createPathFinder, type FindDeps } from './substituter/finding/find-path.ts'
import { judgeStored } from './substituter/finding/stored-answers.ts'
import { createStoreKeeper } from './keeper/store-keeper.ts'
import type { Upkeep } from './upkeep/upkeep.ts'
import { unmeasured } from './telemetry/unmeasured.ts'
import { askedUpstreams } from './upstream/upstream-options.ts'
import { createUpstreamSet } from './upstream/upstream-set.ts'

const clock: Clock = { nowMs: () => Date.now() }

/** What an operator may do to the folders of a Weir that does not run; the next start finds it done. */
export type OfflineWork = {
  recall(block: Block): Promise<RecallReport>
  /** False where there was no such recall. */
  lift(block: Block): Promise<boolean>
  /** Of what is stored: nothing is fetched. */
  readonly pinning: Pinning
  readonly upkeep: Upkeep
}

/** What a command knows of upstreams that it has not asked yet. */
export function unreached({
  network,
  nar,
}: Settings): Pick<FindDeps, 'absences' | 'reach' | 'verifyFirstBytes'> {
  return {
    verifyFirstBytes: () => nar.verifyFirstBytes,
    absences: createAbsences({ clock, ttlMs: () => 0 }),
    reach: {
      isOffline: () => network.mode === 'offline',
      isDown: () => false,
      isRemote: () => true,
    },
  }
}

/** Takes the folders for itself, and throws a `FolderLockedError` where a Weir has them. */
export async function openOffline(
  settings: Settings,
  log: Log,
): Promise<OfflineWork & AsyncDisposable> {
  await using resources = new AsyncDisposableStack()
  await takeFolders(settings, resources)
  const opened = await openState(settings, { clock, log }, resources)
  const { store, catalog, evidence, recalls, suspensions, pins } = opened
  const keeper = await createStoreKeeper({
    ...{ store, catalog, clock, log, pins, meter: unmeasured },
    limits: () => cacheLimits(settings),
    stopping: new AbortController().signal,
    changed: () => undefined,
  })
  const policy = createLivePolicy(settings, { recalls, suspensions, changed: () => undefined })
  const upkeep = await offlineUpkeep({
    ...{ settings, store, catalog, keeper, meter: unmeasured, clock, log },
    isRecalled: (stored) => isRecalled(policy.current(), policy.current().blocks, stored),
  })
  const deps = { policy, recalls, catalog, keeper, evidence, log }
  const look = (hash: StorePathHash) => lookInCatalog(catalog, policy.current(), hash)
  const pinning = createPinning({
    ...{ pins, catalog, keeper, clock, log, look },
    fetch: () => Promise.resolve({ kind: 'missing', why: notStored }),
  })
  resources.defer(() => keeper.flush())
  const owned = resources.move()
  return {
    recall: (block) => recall(deps, block),
    lift: (block) => lift(deps, block),
    ...{ pinning, upkeep },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** Makes the folders where there are none, and locks them until `resources` are disposed of. */
export async function takeFolders(
  { state, cache }: Settings,
  resources: AsyncDisposableStack,
): Promise<void> {
  await mkdir(state.dir, { recursive: true, mode: 0o700 })
  await mkdir(cache.dir, { recursive: true })
  resources.use(lockFolder(state.dir))
  resources.use(lockFolder(cache.dir))
}

const notStored = 'it is not stored, and no Weir runs that could fetch it'

/** What the catalog knows of a path: nobody is asked. */
async function lookInCatalog(
  catalog: Catalog,
  policy: Policy,
  hash: StorePathHash,
): Promise<PathLook> {
  const [stored] = judgeStored(policy, await catalog.find(hash), null)
  if (stored === undefined) return { kind: 'missing', why: notStored }
  return { kind: 'found', narinfo: stored.answer.verdict.narinfo, isStored: true }
}

export type OfflineQuestion = {
  readonly settings: Settings
  readonly policy: Policy
  readonly hash: StorePathHash
  readonly version: string
  readonly log: Log
}

/** Explains a path by asking the upstreams, with nothing stored or remembered, and without touching any folder. */
export async function explainOffline(question: OfflineQuestion): Promise<Explanation> {
  await using resources = new AsyncDisposableStack()
  const { settings, policy, hash, version, log } = question
  const options = askedUpstreams(settings, version)
  const nothingStored = createImportUpstream({ describe: () => Promise.resolve(null) })
  const upstreams = createUpstreamSet(options, [nothingStored], { clock, log })
  resources.defer(() => upstreams.close())
  const evidence = rememberedEvidence()
  const finder = createPathFinder({
    ...{ clock, log, evidence, meter: unmeasured, tracer: noTracer, catalog: emptyCatalog },
    policy: () => policy,
    upstreams: upstreams.current,
    health: upstreams.health,
    hedging: upstreams.hedging,
    ...unreached(settings),
    isRefuted: () => false,
    stopping: new AbortController().signal,
    lied: (_, { upstream, claimed, truth, by }) => {
      const detail = `it signed the name ${claimed}, and ${by} says ${truth}`
      evidence.happened({ kind: 'lying-name', hash, upstream, detail })
    },
    reconsidered: () => undefined,
  })
  return await explain({ policy: () => policy, finder, evidence }, hash, {
    live: true,
    to: 'all',
  })
}

const emptyCatalog: Catalog = {
  find: () => Promise.resolve([]),
  put: () => Promise.resolve(null),
  touch: () => Promise.resolve(),
  remove: () => Promise.resolve(null),
  totals: () => Promise.resolve({ count: 0, bytes: 0 }),
  leastRecentlyUsed: () => Promise.resolve([]),
  page: () => Promise.resolve([]),
  search: () => Promise.resolve({ found: [], next: null }),
  putMissing: () => Promise.resolve([]),
  isRebuildDue: () => Promise.resolve(false),
  rebuilt: () => Promise.resolve(),
  close: () => Promise.resolve(),
}

/** What happens while the question is asked; nobody is served. */
function rememberedEvidence(): Evidence {
  const events: TrustEventRecord[] = []
  return {
    served: () => undefined,
    happened: (event) => {
      const nowMs = clock.nowMs()
      events.push({ ...event, firstMs: nowMs, lastMs: nowMs, count: 1 })
    },
    findServed: () => Promise.resolve([]),
    findEvents: (hash) =>
      Promise.resolve(events.filter((event) => hash === null || event.hash === hash)),
    flush: () => Promise.resolve(),
    close: () => Promise.resolve(),
  }
}
