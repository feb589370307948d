/** The composition root: with `core.ts` the only file that names implementations. */
import { mkdir } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { createAdmin, type ReloadReport } from './admin/admin.ts'
import { controlSocket } from './control/control-client.ts'
import { createControlServer, type Status } from './control/control-server.ts'
import { createStoredFiles } from './admin/stored-files.ts'
import { assembleCore, type Core } from './core.ts'
import { createHttpServer } from './http/http-server.ts'
import { drain, listen, listenOnSocket } from './http/listen.ts'
import { ownNames } from './http/own-names.ts'
import { formatCacheInfo } from './nix/cache-info.ts'
import { formatPublicKey, publicKeyOf, type SecretKey } from './nix/signature.ts'
import type { Clock } from './ports/clock.ts'
import type { Log } from './ports/log.ts'
import type { LoadedSettings } from './settings/load-settings.ts'
import { checkOwnKey } from './settings/own-key.ts'
import type { Settings } from './settings/settings.ts'
import { isToken, readOrMakeAdminToken } from './state/admin-token.ts'
import { lockFolder } from './state/folder-lock.ts'
import { defaultKeyName, makeSigningKey, readSigningKey } from './state/signing-key.ts'

export type AppOptions = {
  readonly settings: Settings
  /** Where the settings come from, for people. */
  readonly configuration: string
  readonly version: string
  readonly log: Log
  /** Reads the configuration again, for a reload. */
  readonly load: () => Promise<LoadedSettings>
}

/** A Weir that serves. */
export type App = {
  /** `http://…` or `unix:…` */
  readonly address: string
  /** `name:base64` */
  readonly publicKey: string
  /** Takes the configuration anew; one that is wrong throws its `SettingsError`, and the old one stays. */
  reload(): Promise<ReloadReport>
  /** Takes no more connections, lets what runs finish within the drain's time, and ends. */
  stop(): Promise<void>
}

const clock: Clock = { nowMs: () => Date.now() }

/** Starts Weir: takes its folders, makes its key where there is none, and listens. */
export async function startApp(options: AppOptions): Promise<App> {
  await using resources = new AsyncDisposableStack()
  const { settings, version, log } = options
  await takeFolders(settings, resources)
  const key = await signingKey(settings, log)
  const publicKey = formatPublicKey(publicKeyOf(key))
  checkOwnKey(settings, publicKeyOf(key))
  const adminToken = await readOrMakeAdminToken(join(settings.state.dir, 'admin-token'))
  const stopping = new AbortController()

  const core = await assembleCore(
    { settings, version, clock, log, key, stopping: stopping.signal },
    resources,
  )
  const admin = createAdmin({
    ...core,
    log,
    meter: core.metrics,
    ownKey: publicKeyOf(key),
    load: options.load,
  })
  let isDraining = false
  let address = ''
  const { listen: where, storeDir, priority, hosts, drainTimeoutMs } = settings.server
  const server = createHttpServer({
    ...core,
    admin,
    isAdmin: (token) => isToken(token, adminToken),
    meter: core.metrics,
    log,
    cacheInfo: formatCacheInfo({ storeDir, wantMassQuery: true, priority }),
    publicKey,
    metrics: core.metrics.expose,
    isReady: () => !isDraining,
    own: where.kind === 'unix' ? null : ownNames(where.host, hostname(), hosts),
  })
  const started = { version, publicKey, configuration: options.configuration, atMs: clock.nowMs() }
  const status = () => statusOf(core, started, address, clock.nowMs())
  const files = createStoredFiles(core.listings)
  const ending = new AbortController()
  const control = createControlServer({
    ...{ admin, files, status, storeDir, log, ending: ending.signal },
    ...{ pinning: core.pinning, upkeep: core.upkeep },
  })
  await listenOnSocket(control, controlSocket(settings.state.dir), 0o600)
  address = await listen(server, where)

  const running = resources.move()
  const stop = async (): Promise<void> => {
    isDraining = true
    ending.abort()
    const deadline = AbortSignal.timeout(drainTimeoutMs)
    deadline.addEventListener('abort', () => {
      stopping.abort()
    })
    await Promise.all([drain(server, deadline), drain(control, deadline)])
    await core.transfers.idle()
    stopping.abort()
    await running.disposeAsync()
  }
  return { address, publicKey, reload: () => admin.reload(), stop }
}

function statusOf(
  core: Core,
  started: Pick<Status, 'version' | 'publicKey' | 'configuration'> & { readonly atMs: number },
  address: string,
  nowMs: number,
): Status {
  const { atMs, ...known } = started
  const { count, bytes } = core.keeper.totals()
  const { cache, upstreams } = core.policy.settings()
  const { epoch, enforce, rules, blocks, suspended } = core.policy.current()
  return {
    ...known,
    address,
    pid: process.pid,
    uptimeSeconds: Math.round((nowMs - atMs) / 1000),
    cache: {
      ...{ dir: cache.dir, nars: count, bytes, limitBytes: cache.maxBytes },
      isStoring: core.storing.isOn(),
    },
    upstreams: upstreams.map(({ name }) => name),
    network: core.network(),
    policy: {
      ...{ epoch, enforce },
      rules: rules.length,
      blocks: blocks.length,
      suspended: [...suspended],
    },
  }
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
