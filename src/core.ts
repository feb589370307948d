/** Puts the parts together that answer: from the store outwards, around the policy of the moment. */
import { forget, type ForgetReport } from './admin/forget.ts'
import { createLivePolicy, type LivePolicy } from './admin/live-policy.ts'
import { createPinning, type Pinning } from './admin/pins.ts'
import { punishLie, type SuspendDeps } from './admin/suspend.ts'
import type { SecretKey } from './nix/signature.ts'
import type { StorePathHash } from './nix/store-path.ts'
import { createRecorder, type Recorder, recordedToo } from './activity/recorder.ts'
import { assembleKeeping, type Keeping } from './keeping.ts'
import type { Catalog } from './ports/catalog.ts'
import { openState } from './open-state.ts'
import type { Clock } from './ports/clock.ts'
import type { Evidence } from './ports/evidence.ts'
import type { UpstreamHealth } from './ports/upstream-health.ts'
import type { Log } from './ports/log.ts'
import type { NetworkState } from './ports/network-state.ts'
import { assembleReaching, type Reaching } from './reaching.ts'
import type { Tracer } from './ports/tracer.ts'
import { readGauges } from './read-gauges.ts'
import type { Settings } from './settings/settings.ts'
import type { Recalls } from './state/recalls.ts'
import { recordKeyOf } from './state/record-key.ts'
import type { VerifyStored } from './substituter/fetching/adopt-nar.ts'
import { createBuildLogs } from './substituter/build-logs.ts'
import { createListings, type Listings } from './substituter/listings.ts'
import { fetchPath, lookAtPath } from './substituter/fetch-path.ts'
import { createPathFinder, type PathFinder } from './substituter/finding/find-path.ts'
import { createReadAhead, type ReadAhead } from './substituter/read-ahead.ts'
import { createRealisations, type Realisations } from './substituter/realisations.ts'
import { createRefutedClaims } from './substituter/finding/refuted-claims.ts'
import type { Storing } from './keeper/storing.ts'
import type { StoreKeeper } from './keeper/store-keeper.ts'
import { createSubstituter, type Substituter } from './substituter/substituter.ts'
import { createTransfers, type Transfers } from './substituter/fetching/transfers.ts'
import { createMetrics, type Metrics, noMetrics } from './telemetry/metrics.ts'
import type { Upkeep } from './upkeep/upkeep.ts'

export type CoreOptions = {
  readonly settings: Settings
  readonly version: string
  readonly clock: Clock
  readonly log: Log
  readonly tracer: Tracer
  readonly key: SecretKey
  readonly stopping: AbortSignal
}

export type Core = {
  readonly substituter: Substituter
  readonly readAhead: ReadAhead
  readonly buildLogs: ReturnType<typeof createBuildLogs>
  readonly realisations: Realisations
  readonly listings: Listings
  readonly finder: PathFinder
  readonly keeper: StoreKeeper
  readonly storing: Storing
  readonly transfers: Transfers
  readonly metrics: Metrics
  readonly recorder: Recorder
  readonly policy: LivePolicy
  readonly recalls: Recalls
  readonly pinning: Pinning
  readonly suspending: SuspendDeps
  readonly catalog: Catalog
  readonly evidence: Evidence
  readonly health: UpstreamHealth
  readonly upkeep: Upkeep
  readonly network: () => NetworkState
  /** Forgets what upstreams said of a path. */
  readonly forget: (hash: StorePathHash) => ForgetReport
  /** Takes another configuration, upstreams included, without a pause. */
  readonly reconfigure: (settings: Settings) => void
}

/** What must be closed goes to `resources`. */
export async function assembleCore(
  { settings: initial, version, clock, log, tracer, key, stopping }: CoreOptions,
  resources: AsyncDisposableStack,
): Promise<Core> {
  const { storeDir } = initial.server
  const catalogRenewed = (): void => {
    rebuilding.catalogRenewed()
  }
  const state = await openState(initial, { clock, log, catalogRenewed }, resources)
  const { store, catalog, evidence, recalls, suspensions, pins } = state
  const exported: Metrics = initial.server.metrics
    ? createMetrics(
        readGauges(version, clock, () => ({
          ...{ policy, keeper, storing, catalog, transfers, ingest, network },
          health: upstreams.health,
        })),
        { clock },
      )
    : noMetrics
  const recorder = createRecorder(clock)
  const metrics = recordedToo(exported, recorder)
  const { upstreams, ingest, network, reach, absences, ...reaching }: Reaching = assembleReaching(
    { initial, settings: () => policy.settings(), version, store, clock, log, meter: metrics },
    resources,
  )
  const refutedClaims = createRefutedClaims(clock)
  const policy = createLivePolicy(initial, {
    recalls,
    suspensions,
    changed: ({ epoch }) => {
      finder.policyChanged()
      transfers.policyChanged()
      substituter.policyChanged()
      listings.policyChanged()
      log.info({ event: 'policy.changed', epoch })
    },
  })
  const base = { clock, log, tracer, meter: metrics, evidence, policy: policy.current }
  const suspending: SuspendDeps = { ...base, policy, suspensions }
  const verifyStored: VerifyStored = (file, compression, narinfo) =>
    ingest.reader.verify({ file, compression }, narinfo, stopping)
  const { keeper, storing, rebuilding, upkeep }: Keeping = await assembleKeeping(
    {
      ...{ ...base, store, catalog, pins, stopping, verifyStored },
      settings: policy.settings,
      recordKey: recordKeyOf(key),
      changed: ({ storePathHash }) => {
        substituter.changed(storePathHash)
        listings.changed(storePathHash)
      },
    },
    resources,
  )
  const finder: PathFinder = createPathFinder({
    ...{ ...base, catalog, stopping, absences, reach },
    upstreams: upstreams.current,
    health: upstreams.health,
    hedging: upstreams.hedging,
    verifyFirstBytes: () => policy.settings().nar.verifyFirstBytes,
    isRefuted: refutedClaims.has,
    lied: (hash, lie) => {
      punishLie(suspending, hash, lie)
    },
    reconsidered: (hash) => {
      substituter.changed(hash)
    },
  })
  const signing = () => ({ mode: policy.settings().signing.mode, key })
  const transfers: Transfers = createTransfers({
    ...base,
    ...{ storeDir, signing, store, keeper, storing, ingest, stopping, verifyStored },
    records: (hash) => finder.records(hash),
    nar: () => policy.settings().nar,
    maxTransfers: initial.nar.maxTransfers,
    refuted: (claim) => {
      const { hash } = claim.narinfo.storePath
      refutedClaims.note(claim)
      finder.forget(hash)
      substituter.changed(hash)
    },
    health: upstreams.health,
    isRemote: reach.isRemote,
  })
  const substituter: Substituter = createSubstituter({
    ...base,
    ...{ storeDir, signing, finder, transfers, store, keeper, storing, verifyStored, reach },
    encoding: () => policy.settings().nar.encoding,
  })
  const readAhead = createReadAhead({
    ...base,
    ...{ finder, transfers, stopping },
    encoding: () => policy.settings().nar.encoding,
    // What cannot be kept would be fetched for nobody.
    limit: () => (storing.isOn() && network() === 'online' ? policy.settings().nar.readAhead : 0),
    busyAt: initial.nar.maxTransfers / 2,
  })
  const listings: Listings = createListings({
    ...{ policy: policy.current, log, finder, store, keeper, reader: ingest.reader },
  })
  rebuilding.startWhereDue()
  network()
  return {
    ...{ substituter, finder, keeper, transfers, metrics, recorder, policy, recalls, suspending },
    ...{ catalog, evidence, listings, readAhead, storing, upkeep, network },
    health: upstreams.health,
    pinning: createPinning({
      ...{ pins, catalog, keeper, clock, log },
      look: (hash) => lookAtPath({ finder }, hash),
      fetch: (hash) =>
        fetchPath({ finder, transfers, encoding: () => policy.settings().nar.encoding }, hash),
    }),
    buildLogs: createBuildLogs({ ...base, upstreams: upstreams.current }),
    realisations: createRealisations({
      ...base,
      upstreams: upstreams.current,
      isEnabled: () => policy.settings().policy.realisations,
      timeoutMs: initial.timeouts.narinfoMs,
    }),
    forget: (hash) => forget({ finder, substituter, refutedClaims, transfers, log }, hash),
    reconfigure(settings) {
      reaching.reconfigure(settings, policy.settings())
      const wasOffline = reach.isOffline()
      policy.reconfigure(settings)
      if (network() === 'offline' && !wasOffline) transfers.cutFetches()
      void keeper.tend()
    },
  }
}
