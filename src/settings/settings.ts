import { type PublicKey } from '../nix/signature.ts'
import { type StoreDir } from '../nix/store-path.ts'
import { type Block } from '../policy/block.ts'
import { type PolicyUpstream } from '../policy/policy.ts'
import { type Rule } from '../policy/rule.ts'
import { type HeaderTemplate } from './header-template.ts'
import { type MinFree } from './min-free.ts'

/** Everything that Weir can be told, checked and complete: sizes in bytes, times in milliseconds, folders absolute. */
export type Settings = {
  readonly server: ServerSettings
  readonly cache: CacheSettings
  readonly state: { readonly dir: string }
  readonly signing: { readonly mode: SigningMode; readonly keyFile: string }
  readonly nar: NarSettings
  readonly timeouts: TimeoutSettings
  readonly network: NetworkSettings
  readonly log: { readonly level: LogLevel; readonly format: LogFormat }
  readonly policy: PolicySettings
  /** Keys that may vouch for stored files that came without a record. */
  readonly importKeys: readonly PublicKey[]
  /** In the order of preference; at least one. */
  readonly upstreams: readonly UpstreamSettings[]
  /** The first that matches decides. */
  readonly rules: readonly Rule[]
  readonly blocks: readonly Block[]
}

/** Where Weir listens, and what it says of itself. */
export type ServerSettings = {
  readonly listen: ListenAddress
  readonly storeDir: StoreDir
  /** The Priority of nix-cache-info: clients ask the cache with the lowest number first. */
  readonly priority: number
  /** Further names that Weir answers to, as URL.hostname gives them: lower case, no port, IPv6 in brackets. */
  readonly hosts: readonly string[]
  /** Whether what was fetched with credentials may be had from other machines. */
  readonly exposePrivate: boolean
  /** Whether Weir measures itself. */
  readonly metrics: boolean
  readonly drainTimeoutMs: number
}

/** Where NARs are kept, and how much of the disk they may take. */
export type CacheSettings = {
  readonly dir: string
  readonly maxBytes: number
  /** Percent of `maxBytes`. */
  readonly lowWatermark: number
  readonly minFree: MinFree
}

/** How NARs are fetched, checked and kept. */
export type NarSettings = {
  readonly verifyFirstBytes: number
  /** What NARs are kept and handed out in. */
  readonly encoding: 'zstd' | 'upstream'
  readonly zstdLevel: number
  readonly workers: number
  readonly maxTransfers: number
  readonly readAhead: number
  readonly maxNarBytes: number
}

/** How long an upstream may take. */
export type TimeoutSettings = {
  readonly connectMs: number
  readonly headersMs: number
  readonly idleMs: number
  readonly narinfoMs: number
}

/** How the upstreams are reached; files are absolute, `null` where there is none. */
export type NetworkSettings = {
  /** `offline`: nobody is asked. */
  readonly mode: 'online' | 'offline'
  /** `environment`, `none`, or the origin of an HTTP proxy. */
  readonly proxy: string
  readonly caFile: string | null
  readonly netrcFile: string | null
}

/** What holds where no rule says otherwise. */
export type PolicySettings = {
  /** What becomes of a path that no rule matches. */
  readonly unmatched: 'allow' | 'deny'
  /** False: what the rules would refuse is served and reported. */
  readonly enforce: boolean
  /** Whether signed realisations are handed on. */
  readonly realisations: boolean
}

/** A socket to listen on: a TCP port (IPv6 hosts without brackets) or the absolute path of a Unix socket. */
export type ListenAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string }

/** Whether an answer carries Weir's signature besides the upstreams', instead of them, or not at all. */
export type SigningMode = 'add' | 'replace' | 'keep'

/** The least severe event that is logged. */
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'

/** The shape of the log; `auto` is pretty on a terminal, JSON elsewhere. */
export type LogFormat = 'auto' | 'json' | 'pretty'

/** A binary cache that Weir asks, and what it may vouch with; without keys it gives only content-addressed paths. */
export type UpstreamSettings = PolicyUpstream & {
  /** Normalised, without a trailing slash, credentials or fragment. */
  readonly url: string
  /** Further addresses of the same cache. */
  readonly mirrors: readonly string[]
  readonly credentials: UpstreamCredentials
  readonly tls: UpstreamTls
  readonly timeouts: TimeoutSettings
  /** How long it is not asked again for what it did not have. */
  readonly negativeTtlMs: number
  /** To each of its hosts. */
  readonly maxConnections: number
  /** Lower case HOST or HOST:PORT, IPv6 in brackets; without a port every port is meant. */
  readonly redirectHosts: readonly string[]
}

/** How an upstream knows Weir; files are absolute, read on change. */
export type UpstreamCredentials = {
  readonly tokenFile: string | null
  readonly user: string | null
  readonly passwordFile: string | null
  readonly headers: readonly HeaderTemplate[]
}

/** PEM files, absolute. */
export type UpstreamTls = {
  readonly caFile: string | null
  readonly certificateFile: string | null
  readonly certificateKeyFile: string | null
}
