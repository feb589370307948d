import type { Upstream } from '../ports/upstream.ts'
import { createFileUpstream } from './file-upstream.ts'
import { createHttpUpstream } from './http-upstream.ts'
import { createS3Upstream } from './s3-upstream.ts'
import type { UpstreamOptions } from './upstream-options.ts'

/** Connects to a binary cache, of whatever kind its address says. */
export function openUpstream(options: UpstreamOptions): Upstream {
  if (options.url.startsWith('file:')) return createFileUpstream(options)
  if (options.url.startsWith('s3:')) return createS3Upstream(options)
  return createHttpUpstream(options)
}
