import { keysByName } from './key-checks.ts'
import { type ResolvedPaths } from './resolve-paths.ts'
import { type SettingsDocument } from './schema.ts'
import { type Settings, type TimeoutSettings, type UpstreamSettings } from './settings.ts'
import { toRule } from './to-rule.ts'

/** More threads than this have nothing left to decompress. */
const MAX_DEFAULT_WORKERS = 8

/** The settings that a checked document stands for. */
export function toSettings(
  document: SettingsDocument,
  paths: ResolvedPaths,
  cores: number,
): Settings {
  const { server, cache, signing, nar, log, policy, upstream, rule, block } = document
  const timeouts = toTimeouts(document.timeouts)
  const keys = keysByName(document)
  return {
    server: {
      listen: server.listen,
      storeDir: server.store_dir,
      priority: server.priority,
      hosts: server.hosts,
      exposePrivate: server.expose_private,
      metrics: server.metrics,
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
    timeouts,
    network: {
      mode: document.network.mode,
      proxy: document.network.proxy,
      caFile: paths.file(['network', 'ca_file']),
      netrcFile: paths.file(['network', 'netrc_file']),
    },
    log,
    policy,
    importKeys: document.import.keys,
    upstreams: upstream.map((each, index) => toUpstream(each, index, paths, timeouts)),
    rules: rule.map((each) => toRule(each, keys)),
    blocks: block.map(({ block: each }) => each),
  }
}

function toTimeouts(written: SettingsDocument['timeouts']): TimeoutSettings {
  const { connect, headers, idle, narinfo } = written
  return { connectMs: connect, headersMs: headers, idleMs: idle, narinfoMs: narinfo }
}

function toUpstream(
  written: SettingsDocument['upstream'][number],
  index: number,
  paths: ResolvedPaths,
  timeouts: TimeoutSettings,
): UpstreamSettings {
  const { name, url, keys, optional, tier, mirrors, equivalent = null } = written
  const file = (key: string): string | null => paths.file(['upstream', index, key])
  return {
    ...{ name, url, mirrors, keys, optional, tier, equivalent },
    private: written.private,
    insecureUnsigned: written.insecure_unsigned,
    redirectHosts: written.redirect_hosts,
    credentials: {
      tokenFile: file('token_file'),
      user: written.user ?? null,
      passwordFile: file('password_file'),
      headers: written.headers,
    },
    tls: {
      caFile: file('ca_file'),
      certificateFile: file('certificate_file'),
      certificateKeyFile: file('certificate_key_file'),
    },
    timeouts: {
      connectMs: written.connect_timeout ?? timeouts.connectMs,
      headersMs: written.headers_timeout ?? timeouts.headersMs,
      idleMs: written.idle_timeout ?? timeouts.idleMs,
      narinfoMs: written.narinfo_timeout ?? timeouts.narinfoMs,
    },
    negativeTtlMs: written.negative_ttl,
    maxConnections: written.max_connections,
  }
}
