import { isTransient } from '../policy/retry.ts'
import type { SourceFailure } from '../ports/nar-ingest.ts'
import { UpstreamError } from '../ports/upstream.ts'
import { type BadNarCode, BadNarError } from './bad-nar-error.ts'

/** What is the source's fault; anything else is Weir's own, and is thrown on. */
export function sourceFailure(upstream: string, error: unknown): SourceFailure {
  if (error instanceof BadNarError) {
    return { upstream, kind: kindOf(error.code), code: error.code, message: error.message }
  }
  if (error instanceof UpstreamError) {
    return { upstream, kind: 'unreachable', code: error.code, message: error.message }
  }
  throw error
}

function kindOf(code: BadNarCode): SourceFailure['kind'] {
  // Want of memory, or of an encoder, says nothing of the file.
  if (code === 'out-of-memory') return 'unreachable'
  return code === 'not-made' ? 'absent' : 'corrupt'
}

/**
 * How long to wait before the same source is asked again, in milliseconds; `null` where that would be of no use: it is wrong, or asks for
 * more patience than a client has.
 */
export function retryAfterMs(error: unknown): number | null {
  if (!(error instanceof UpstreamError)) return null
  const afterMs = error.retryAfterMs ?? 0
  return isTransient(error) && afterMs <= maxRetryAfterMs ? afterMs : null
}

const maxRetryAfterMs = 5000

/** A source that has no such file. */
export function absentSource(upstream: string): SourceFailure {
  return { upstream, kind: 'absent', code: 'absent', message: 'has no such NAR' }
}
