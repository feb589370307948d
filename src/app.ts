/** The composition root: the only file that names implementations. */
import { mkdir } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { controlSocket } from './control/control-client.ts'
import { createControlServer } from './control/control-server.ts'
import { createHttpServer } from './http/http-server.ts'
import { drain, listen, listenOnSocket } from './http/listen.ts'
import { ownNames } from './http/own-names.ts'
import { createIngestPool } from './ingest/ingest-pool.ts'
import { verifyStored } from './ingest/verify-stored.ts'
import { formatCacheInfo } from './nix/cache-info.ts'
import { formatPublicKey, publicKeyOf, type SecretKey } from './nix/signature.ts'
import type { Policy } from './policy/policy.ts'
import type { Clock } from './ports/clock.ts'
import type { Log } from './ports/log.ts'
import type { Settings } from './settings/settings.ts'
import { lockFolder } from './state/folder-lock.ts'
import { defaultKeyName, makeSigningKey, readSigningKey } from './state/signing-key.ts'
import { openDiskNarStore } from './store/disk/disk-nar-store.ts'
import { openCatalog } from './store/sqlite/open-catalog.ts'
import { createBuildLogs } from './substituter/build-logs.ts'
import { createPathFinder } from './substituter/find-path.ts'
import { createStoreKeeper, type StoreKeeper } from './substituter/store-keeper.ts'
import { createSubstituter, type Substituter } from './substituter/substituter.ts'
import { createTransfers, type Transfers } from './substituter/transfers.ts'
import { createMetrics, type Metrics } from './telemetry/metrics.ts'
import { createHttpUpstream } from './upstream/http-upstream.ts'
import { upstreamOptions } from './upstream/upstream-options.ts'

export type AppOptions = {
  readonly settings: Settings
  /** Where the settings come from, for people. */
  readonly configuration: string
  readonly version: string
  readonly log: Log
}

/** A Weir that serves. */
export type App = {
  /** `http://…` or `unix:…` */
  readonly address: string
  /** `name:base64` */
  readonly publicKey: string
  /** Takes no more connections, lets what runs finish within the drain's time, and ends. */
  stop(): Promise<void>
}

const clock: Clock = { nowMs: () => Date.now() }
const flushIntervalMs = 5000

/** Starts Weir: takes its folders, makes its key where there is none, and listens. */
export async function startApp(options: AppOptions): Promise<App> {
  await using resources = new AsyncDisposableStack()
  const { settings, version, log } = options
  await takeFolders(settings, resources)
  const key = await signingKey(settings, log)
  const publicKey = formatPublicKey(publicKeyOf(key))
  const stopping = new AbortController()

  const core = await assemble(options, key, stopping.signal, resources)
  let isDraining = false
  let address = ''
  const { listen: where, storeDir, priority, hosts, drainTimeoutMs } = settings.server
  const server = createHttpServer({
    ...core,
    meter: core.metrics,
    log,
    cacheInfo: formatCacheInfo({ storeDir, wantMassQuery: true, priority }),
    publicKey,
    metrics: () => core.metrics.expose(),
    isReady: () => !isDraining,
    own: where.kind === 'unix' ? null : ownNames(where.host, hostname(), hosts),
  })
  const startedMs = clock.nowMs()
  const control = createControlServer(() => ({
    version,
    pid: process.pid,
    uptimeSeconds: Math.round((clock.nowMs() - startedMs) / 1000),
    address,
    publicKey,
    configuration: options.configuration,
    cache: {
      dir: settings.cache.dir,
      nars: core.keeper.totals().count,
      bytes: core.keeper.totals().bytes,
      limitBytes: settings.cache.maxBytes,
    },
    upstreams: settings.upstreams.map(({ name }) => name),
  }))
  await listenOnSocket(control, controlSocket(settings.state.dir), 0o600)
  address = await listen(server, where)

  const running = resources.move()
  const stop = async (): Promise<void> => {
    isDraining = true
    const deadline = AbortSignal.timeout(drainTimeoutMs)
    deadline.addEventListener('abort', () => {
      stopping.abort()
    })
    await Promise.all([drain(server, deadline), drain(control, deadline)])
    await core.transfers.idle()
    stopping.abort()
    await running.disposeAsync()
  }
  return { address, publicKey, stop }
}

async function takeFolders(settings: Settings, resources: AsyncDisposableStack): Promise<void> {
  await mkdir(settings.state.dir, { recursive: true, mode: 0o700 })
  await mkdir(settings.cache.dir, { recursive: true })
  resources.use(lockFolder(settings.state.dir))
  resources.use(lockFolder(settings.cache.dir))
}

async function signingKey({ signing }: Settings, log: Log): Promise<SecretKey> {
  const existing = await readSigningKey(signing.keyFile)
  if (existing !== null) return existing
  const made = await makeSigningKey(signing.keyFile, defaultKeyName(hostname()))
  log.info({
    event: 'key.made',
    file: signing.keyFile,
    publicKey: formatPublicKey(publicKeyOf(made)),
  })
  return made
}

type Core = {
  readonly substituter: Substituter
  readonly buildLogs: ReturnType<typeof createBuildLogs>
  readonly keeper: StoreKeeper
  readonly transfers: Transfers
  readonly metrics: Metrics
}

/** Puts the parts together, from the store outwards; what must be closed goes to `resources`. */
async function assemble(
  { settings, version, log }: AppOptions,
  key: SecretKey,
  stopping: AbortSignal,
  resources: AsyncDisposableStack,
): Promise<Core> {
  const { storeDir } = settings.server
  const store = await openDiskNarStore(settings.cache.dir, storeDir)
  const catalog = await openCatalog(join(settings.state.dir, 'catalog.sqlite'), { clock, log })
  resources.defer(() => catalog.close())
  const options = settings.upstreams.map((upstream) => upstreamOptions(upstream, settings, version))
  const upstreams = options.map((each) => createHttpUpstream(each))
  for (const upstream of upstreams) resources.defer(() => upstream.close())
  const ingest = createIngestPool(settings.nar.workers, { upstreams: options })
  resources.defer(() => ingest.close())

  const policy: Policy = {
    storeDir,
    upstreams: settings.upstreams,
    maxNarBytes: settings.nar.maxNarBytes,
  }
  const signing = { mode: settings.signing.mode, key }
  const metrics: Metrics = createMetrics({
    version,
    cacheBytes: () => keeper.totals().bytes,
    cacheNars: () => keeper.totals().count,
    cacheLimitBytes: settings.cache.maxBytes,
  })
  const base = { clock, log, meter: metrics }
  const keeper: StoreKeeper = await createStoreKeeper({
    ...base,
    store,
    catalog,
    maxBytes: settings.cache.maxBytes,
    changed: (nar) => {
      substituter.changed(nar)
    },
  })
  flushRegularly(keeper, log, resources)
  const finder = createPathFinder({
    ...base,
    policy,
    upstreams,
    catalog,
    narinfoTimeoutMs: settings.timeouts.narinfoMs,
    stopping,
  })
  const transfers = createTransfers({
    ...base,
    ...settings.nar,
    storeDir,
    signing,
    store,
    keeper,
    ingest,
    stopping,
  })
  const substituter: Substituter = createSubstituter({
    storeDir,
    signing,
    finder,
    transfers,
    store,
    keeper,
    clock,
    verifyStored,
  })
  return { substituter, buildLogs: createBuildLogs({ upstreams, log }), keeper, transfers, metrics }
}

/** Writes the uses of NARs now and then, and at the end. */
function flushRegularly(keeper: StoreKeeper, log: Log, resources: AsyncDisposableStack): void {
  const timer = setInterval(() => {
    keeper.flush().catch((error: unknown) => {
      log.error({ event: 'catalog.failed', err: error })
    })
  }, flushIntervalMs)
  timer.unref()
  resources.defer(() => {
    clearInterval(timer)
    return keeper.flush()
  })
}
