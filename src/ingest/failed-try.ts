import type { SourceFailure } from '../ports/nar-ingest.ts'
import { UpstreamError } from '../ports/upstream.ts'
import { withoutEnd } from './go-on.ts'
import { absentSource, retryAfterMs, sourceFailure } from './source-failure.ts'

/** A source that did not give the NAR. */
export type FailedTry = {
  readonly failure: SourceFailure
  /** When it may be asked again; `null` says that it need not be. */
  readonly retryAfterMs: number | null
  /** It was left for those who joined, or for others: it is asked anew after those. */
  readonly isRenewed: boolean
  /** Its host refused the connection. */
  readonly isRefused: boolean
}

/** What breaks a try off: all of it came, or it is to be asked anew. */
export type Ends = { readonly leaving: AbortController; readonly renewing: AbortController }

/** A source that has no such file. */
export function absentTry(upstream: string): FailedTry {
  const failure = absentSource(upstream)
  return { failure, retryAfterMs: null, isRenewed: false, isRefused: false }
}

/** What came of a try that threw, of which a part was handed out or not; throws on what is no source's failure. */
export function failedTry(
  upstream: string,
  thrown: unknown,
  { leaving, renewing }: Ends,
  { isBegun }: { readonly isBegun: boolean },
): FailedTry {
  const isRenewed = renewing.signal.aborted
  const left = leaving.signal.aborted ? withoutEnd(thrown) : thrown
  const error: unknown = isRenewed ? renewing.signal.reason : left
  const failure = sourceFailure(upstream, error)
  // What was handed out of a large NAR is not given up for a slump.
  const isSlump = failure.code === 'too-slow' && isBegun
  const afterMs = isSlump ? 0 : retryAfterMs(error)
  const isRefused = error instanceof UpstreamError && error.isRefusal
  return { failure, retryAfterMs: afterMs, isRenewed, isRefused }
}
