import type { UpstreamOptions } from '../../src/upstream/upstream-options.ts'

/** Options of a public upstream without anything special, and with patience. */
export function plainUpstream(
  changes: Partial<UpstreamOptions> & Pick<UpstreamOptions, 'url'>,
): UpstreamOptions {
  return {
    ...{
      name: 'cache',
      mirrors: [],
      absentOn403: false,
      redirectHosts: [],
      userAgent: 'weir/test',
    },
    ...{ connectMs: 60_000, headersMs: 60_000, idleMs: 60_000, narinfoMs: 60_000 },
    ...{ negativeTtlMs: 0, maxConnections: 100, proxy: 'none' },
    credentials: { tokenFile: null, user: null, passwordFile: null, netrcFile: null, headers: [] },
    tls: { caFiles: [], certificateFile: null, certificateKeyFile: null },
    ...changes,
  }
}
