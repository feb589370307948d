import type { Upstream } from '../ports/upstream.ts'
import { createFileUpstream } from './file/file-upstream.ts'
import { createHttpUpstream } from './http/http-upstream.ts'
import { createMirroredUpstream } from './steady/mirrored-upstream.ts'
import { createS3Upstream } from './s3/s3-upstream.ts'
import { realTiming } from './timing.ts'
import type { UpstreamOptions } from './upstream-options.ts'

/**
 * Connects to a binary cache, of whatever kind its address says, and to its mirrors. `wrap` is applied to each of its roots; `hedged` is
 * told when a mirror is asked because a root is slow.
 */
export function openUpstream(
  options: UpstreamOptions,
  wrap: (root: Upstream) => Upstream = (root) => root,
  hedged: () => void = () => undefined,
): Upstream {
  const primary = wrap(openRoot(options))
  const mirrors = options.mirrors.map((url) => wrap(openRoot(mirrorOptions(options, url))))
  if (mirrors.length === 0) return primary
  const nowMs = (): number => performance.now()
  return createMirroredUpstream([primary, ...mirrors], { timing: realTiming, nowMs, hedged })
}

function openRoot(options: UpstreamOptions): Upstream {
  if (options.url.startsWith('file:')) return createFileUpstream(options)
  if (options.url.startsWith('s3:')) return createS3Upstream(options)
  return createHttpUpstream(options)
}

/**
 * How to reach a mirror. Credentials stay with their origin, and so does Weir's certificate: elsewhere only those count that a netrc file has
 * for that host.
 */
function mirrorOptions(options: UpstreamOptions, url: string): UpstreamOptions {
  const { netrcFile } = options.credentials
  const isSameOrigin = new URL(url).origin === new URL(options.url).origin
  const none = { tokenFile: null, user: null, passwordFile: null, netrcFile, headers: [] }
  return {
    ...options,
    ...{ url, mirrors: [] },
    ...(isSameOrigin ? {} : { credentials: none, tls: { ...options.tls, ...uncertified } }),
  }
}

const uncertified = { certificateFile: null, certificateKeyFile: null }
