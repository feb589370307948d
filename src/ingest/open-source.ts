import { open } from 'node:fs/promises'
import type { Upstream } from '../ports/upstream.ts'
import type { OpenSource } from './ingestion.ts'

const pieceBytes = 256 * 1024

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
    const handle = await open(path, 'r')
    return handle.createReadStream({ highWaterMark: pieceBytes, signal })
  } catch (error) {
    // Evicted meanwhile.
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
}
