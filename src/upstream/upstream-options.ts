import type { HeaderTemplate } from '../settings/header-template.ts'
import type { Settings, UpstreamSettings } from '../settings/settings.ts'

/** How to reach one binary cache; plain data, so that worker threads can be given it. Times in milliseconds, files absolute. */
export type UpstreamOptions = {
  readonly name: string
  /** The cache's root, without a trailing slash. */
  readonly url: string
  /** Further roots of the same cache. */
  readonly mirrors: readonly string[]
  /** Whether 403 says that it does not have what was asked for. */
  readonly absentOn403: boolean
  readonly redirectHosts: readonly string[]
  readonly userAgent: string
  readonly connectMs: number
  readonly headersMs: number
  readonly idleMs: number
  /** For a whole narinfo. */
  readonly narinfoMs: number
  /** How long it is not asked again for what it did not have. */
  readonly negativeTtlMs: number
  /** Connections to each of its hosts at one time. */
  readonly maxConnections: number
  readonly credentials: {
    readonly tokenFile: string | null
    readonly user: string | null
    readonly passwordFile: string | null
    readonly netrcFile: string | null
    readonly headers: readonly HeaderTemplate[]
  }
  readonly tls: {
    /** Authorities besides those that Node knows. */
    readonly caFiles: readonly string[]
    readonly certificateFile: string | null
    readonly certificateKeyFile: string | null
  }
  /** `environment`, `none`, or the origin of an HTTP proxy. */
  readonly proxy: string
}

/** How to reach the upstreams that are asked: in offline mode there are none. */
export function askedUpstreams(settings: Settings, version: string): readonly UpstreamOptions[] {
  if (settings.network.mode === 'offline') return []
  return settings.upstreams.map((upstream) => upstreamOptions(upstream, settings, version))
}

/** How to reach a configured upstream. */
export function upstreamOptions(
  {
    name,
    url,
    mirrors,
    absentOn403,
    redirectHosts,
    credentials,
    tls,
    ...upstream
  }: UpstreamSettings,
  { network }: Pick<Settings, 'network'>,
  version: string,
): UpstreamOptions {
  const { caFile, certificateFile, certificateKeyFile } = tls
  return {
    ...{ name, url, mirrors, absentOn403, redirectHosts },
    userAgent: `weir/${version}`,
    ...upstream.timeouts,
    negativeTtlMs: upstream.negativeTtlMs,
    maxConnections: upstream.maxConnections,
    credentials: { ...credentials, netrcFile: network.netrcFile },
    tls: {
      caFiles: [network.caFile, caFile].filter((file) => file !== null),
      ...{ certificateFile, certificateKeyFile },
    },
    proxy: network.proxy,
  }
}
