import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import type { NarSource } from '../ports/nar-ingest.ts'
import type { Upstream, UpstreamBody } from '../ports/upstream.ts'

/** Opens a source's file: `null` where the upstream certainly does not have it, `UpstreamError` where it could not tell. */
export type OpenSource = (source: NarSource, signal: AbortSignal) => Promise<UpstreamBody | null>

const pieceBytes = 256 * 1024

/** What lies in the place of a stored file and is a link is none of the store's; nor is a pipe waited for. */
const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/** Opens sources: stored files by their path, others at their upstreams, which are looked up by name. */
export function createOpenSource(upstreamOf: (name: string) => Upstream | null): OpenSource {
  return async ({ upstream, url, file }, signal) => {
    if (file !== null) return openFile(file, signal)
    return (await upstreamOf(upstream)?.nar(url, signal)) ?? null
  }
}

async function openFile(
  path: string,
  signal: AbortSignal,
): Promise<AsyncIterable<Uint8Array> | null> {
  try {
    const handle = await open(path, flags)
    return handle.createReadStream({ highWaterMark: pieceBytes, signal })
  } catch (error) {
    // Evicted meanwhile, or a link.
    const isNone = error instanceof Error && 'code' in error && isMissing(error.code)
    if (isNone) return null
    throw error
  }
}

function isMissing(code: unknown): boolean {
  return code === 'ENOENT' || code === 'ELOOP'
}
