/** What came of a question to an upstream. */
export type UpstreamAnswer = {
  readonly upstream: string
  /** A probe finds out whether an upstream is back that was down. */
  readonly object: 'narinfo' | 'nar' | 'log' | 'probe'
  readonly result: 'found' | 'absent' | 'error'
  /** Until it answered; a NAR's or a log's, until it began to come. */
  readonly seconds: number
}

/** How a NAR's way in ended: on disk, handed on and not kept, or not at all. */
export type IngestResult = 'stored' | 'streamed' | 'failed'

/** What kept a NAR from being written, as the system calls it. */
export type StoreFailureCode = 'ENOSPC' | 'EDQUOT' | 'EROFS' | 'EACCES' | 'EIO' | 'other'

/** How a stored NAR turned out to be wrong. */
export type VerifyFinding =
  /** It has a record, and no file. */
  | 'no-file'
  | 'wrong-size'
  /** Its disk does not give the file any more. */
  | 'unreadable-file'
  /** The file is another one than was recorded. */
  | 'file-hash-mismatch'
  /** It does not decode to the NAR of its NarHash, NarSize and content address. */
  | 'nar-mismatch'
  /** The record's claim cannot be read for this store: nothing can be said of the file. */
  | 'unreadable-claim'

/** What is measured, as events; every label is of a finite set. */
export type Meter = {
  /** An upstream answered for an object, or could not tell. */
  upstreamAnswered(answer: UpstreamAnswer): void
  /** An upstream is asked the same again, since it failed for a moment. */
  upstreamRetried(upstream: string): void
  /** An upstream was not asked for what it did not have a moment ago. */
  absenceRemembered(upstream: string): void
  /** A claim was judged; `result` is `trusted`, `malformed` or the reason of the refusal. */
  claimJudged(upstream: string, result: string): void
  /** A signature failed under a key that Weir holds. */
  badSignature(upstream: string): void
  /** Trusted claims for one path differ; the path's rule, `null` where none matches, and whether it asks for agreement. */
  diverged(divergence: { readonly rule: string | null; readonly wantsAgreement: boolean }): void
  /** An upstream signed a name that a better one contradicts. */
  nameLied(upstream: string): void
  /** Report only: what was served would have been refused; the reasons are finite. */
  wouldRefuse(reason: string): void
  /** Bytes that came from an upstream for a NAR. */
  narFetched(upstream: string, bytes: number): void
  /** An upstream did not give the NAR that it claimed; `code` is finite. */
  narSourceFailed(upstream: string, code: string): void
  /** A NAR is fetched before anybody asked for it. */
  narReadAhead(): void
  /** A NAR's way in ended. */
  narIngested(result: IngestResult): void
  /** A verified NAR could not be kept. */
  storeFailed(code: StoreFailureCode): void
  /** A NAR was evicted, which took so many bytes on disk. */
  narEvicted(bytes: number): void
  /** A stored NAR turned out wrong when it was verified again. */
  verifyFailed(finding: VerifyFinding): void
  /** The configuration was to be taken anew: it was, or was refused and the old one stays. */
  reloaded(result: 'ok' | 'refused'): void
}
