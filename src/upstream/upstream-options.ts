import type { Settings, UpstreamSettings } from '../settings/settings.ts'
import type { HttpUpstreamOptions } from './http-upstream.ts'

/** Enough for a mass query, and not so many that an upstream would mind. */
const maxConnections = 32

/** How to reach a configured upstream. */
export function upstreamOptions(
  upstream: UpstreamSettings,
  { timeouts }: Pick<Settings, 'timeouts'>,
  version: string,
): HttpUpstreamOptions {
  return {
    name: upstream.name,
    url: upstream.url,
    redirectHosts: upstream.redirectHosts,
    userAgent: `weir/${version}`,
    connectMs: timeouts.connectMs,
    headersMs: timeouts.headersMs,
    idleMs: timeouts.idleMs,
    narinfoMs: timeouts.narinfoMs,
    maxConnections,
  }
}
