import { checkDocument } from './check-document.ts'
import { crossCheck } from './cross-checks.ts'
import { BUILT_IN_DEFAULTS, composeDraft } from './draft.ts'
import { listKnownKeys } from './known-keys.ts'
import { type ConfigFileName, readConfigFile } from './read-config-file.ts'
import { type Environment, readEnvironment } from './read-environment.ts'
import { type ResolvedPaths, resolvePaths } from './resolve-paths.ts'
import { type SettingsDocument } from './schema.ts'
import { type Settings } from './settings.ts'
import { SettingsError } from './settings-error.ts'

/** More threads than this have nothing left to decompress. */
const MAX_DEFAULT_WORKERS = 8

/** What the configuration depends on; the file itself is the only thing that is read. */
export type LoadSettingsOptions = {
  /** The value of `--config`; it outranks WEIR_CONFIG. */
  readonly configFile?: string | undefined
  readonly env: Environment
  /** Absolute, or empty where there is none. */
  readonly homeDir: string
  /** How many processors there are, as `os.availableParallelism()` tells. */
  readonly cores: number
}

/** A configuration that may be used. */
export type LoadedSettings = {
  readonly settings: Settings
  /** The absolute path of the file, or `built-in defaults`. */
  readonly source: string
  /** What is allowed, and yet seldom meant; a sentence each. */
  readonly warnings: readonly string[]
}

/** Loads the configuration, environment over file over defaults; throws SettingsError with all problems at once. */
export async function loadSettings(options: LoadSettingsOptions): Promise<LoadedSettings> {
  const { env, homeDir, cores } = options
  const name = nameConfigFile(options)
  const file = name === null ? null : await readConfigFile(name)
  const environment = readEnvironment(env, listKnownKeys())
  const draft = composeDraft(file, environment.overrides)
  const checked = checkDocument(draft)
  if ('problems' in checked) {
    throw new SettingsError('invalid', [...environment.problems, ...checked.problems])
  }
  const { document } = checked
  const resolved = resolvePaths(document, draft, { env, homeDir })
  const conflicts = resolved.problems.length > 0 ? [] : crossCheck(document, resolved.paths, draft)
  const problems = [...environment.problems, ...resolved.problems, ...conflicts]
  if (problems.length > 0) throw new SettingsError('invalid', problems)
  return {
    settings: toSettings(document, resolved.paths, cores),
    source: file?.path ?? BUILT_IN_DEFAULTS,
    warnings: findWarnings(document),
  }
}

function nameConfigFile({ configFile, env }: LoadSettingsOptions): ConfigFileName | null {
  if (configFile !== undefined) return { path: configFile, namedBy: '--config' }
  const path = env['WEIR_CONFIG'] ?? ''
  return path === '' ? null : { path, namedBy: 'WEIR_CONFIG' }
}

function toSettings(document: SettingsDocument, paths: ResolvedPaths, cores: number): Settings {
  const { server, cache, signing, nar, timeouts, log, upstream } = document
  return {
    server: {
      listen: server.listen,
      storeDir: server.store_dir,
      priority: server.priority,
      hosts: server.hosts,
      drainTimeoutMs: server.drain_timeout,
    },
    cache: { dir: paths.cacheDir, maxBytes: cache.max_size },
    state: { dir: paths.stateDir },
    signing: { mode: signing.mode, keyFile: paths.keyFile },
    nar: {
      verifyFirstBytes: nar.verify_first,
      zstdLevel: nar.zstd_level,
      workers: nar.workers ?? Math.max(1, Math.min(cores, MAX_DEFAULT_WORKERS)),
      maxTransfers: nar.max_transfers,
      maxNarBytes: nar.max_nar_size,
    },
    timeouts: {
      connectMs: timeouts.connect,
      headersMs: timeouts.headers,
      idleMs: timeouts.idle,
      narinfoMs: timeouts.narinfo,
    },
    log,
    upstreams: upstream.map(({ redirect_hosts: redirectHosts, ...rest }) => ({
      ...rest,
      redirectHosts,
    })),
  }
}

function findWarnings({ upstream }: SettingsDocument): readonly string[] {
  return upstream
    .filter(({ keys }) => keys.length === 0)
    .map(({ name }) => `The upstream "${name}" has no keys: it gives only content-addressed paths.`)
}
