import type { Upstream } from '../ports/upstream.ts'
import { createFileUpstream } from './file-upstream.ts'
import { createHttpUpstream } from './http-upstream.ts'
import type { UpstreamOptions } from './upstream-options.ts'

/** Connects to a binary cache, of whatever kind its address says. */
export function openUpstream(options: UpstreamOptions): Upstream {
  return options.url.startsWith('file:') ? createFileUpstream(options) : createHttpUpstream(options)
}
