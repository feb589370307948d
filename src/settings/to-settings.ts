import { keysByName } from './key-checks.ts'
import { type ResolvedPaths } from './resolve-paths.ts'
import { type SettingsDocument } from './schema.ts'
import { type Settings, type UpstreamSettings } from './settings.ts'
import { toRule } from './to-rule.ts'

/** More threads than this have nothing left to decompress. */
const MAX_DEFAULT_WORKERS = 8

/** The settings that a checked document stands for. */
export function toSettings(
  document: SettingsDocument,
  paths: ResolvedPaths,
  cores: number,
): Settings {
  const { server, cache, signing, nar, timeouts, log, policy, upstream, rule, block } = document
  const keys = keysByName(document)
  return {
    server: {
      listen: server.listen,
      storeDir: server.store_dir,
      priority: server.priority,
      hosts: server.hosts,
      drainTimeoutMs: server.drain_timeout,
    },
    cache: {
      dir: paths.cacheDir,
      maxBytes: cache.max_size,
      lowWatermark: cache.low_watermark,
      minFree: cache.min_free,
    },
    state: { dir: paths.stateDir },
    signing: { mode: signing.mode, keyFile: paths.keyFile },
    nar: {
      verifyFirstBytes: nar.verify_first,
      encoding: nar.encoding,
      zstdLevel: nar.zstd_level,
      workers: nar.workers ?? Math.max(1, Math.min(cores, MAX_DEFAULT_WORKERS)),
      maxTransfers: nar.max_transfers,
      readAhead: nar.read_ahead,
      maxNarBytes: nar.max_nar_size,
    },
    timeouts: {
      connectMs: timeouts.connect,
      headersMs: timeouts.headers,
      idleMs: timeouts.idle,
      narinfoMs: timeouts.narinfo,
    },
    log,
    policy,
    importKeys: document.import.keys,
    upstreams: upstream.map((each) => toUpstream(each)),
    rules: rule.map((each) => toRule(each, keys)),
    blocks: block.map(({ block: each }) => each),
  }
}

function toUpstream(written: SettingsDocument['upstream'][number]): UpstreamSettings {
  const {
    redirect_hosts: redirectHosts,
    insecure_unsigned: insecureUnsigned,
    equivalent = null,
    ...rest
  } = written
  return { ...rest, redirectHosts, insecureUnsigned, equivalent }
}
