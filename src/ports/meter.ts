/** What is measured, as events; every label is of a finite set. */
export type Meter = {
  /** An upstream answered for an object, or could not tell. */
  upstreamAnswered(answer: {
    readonly upstream: string
    readonly object: 'narinfo' | 'log'
    readonly result: 'found' | 'absent' | 'error'
    readonly seconds: number
  }): void
  /** An upstream was not asked for what it did not have a moment ago. */
  absenceRemembered(upstream: string): void
  /** A claim was judged; `result` is `trusted`, `malformed` or the reason of the refusal. */
  claimJudged(upstream: string, result: string): void
  /** A signature failed under a key that Weir holds. */
  badSignature(upstream: string): void
  /** Trusted claims for one path differ. */
  diverged(): void
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
  /** A verified NAR could not be kept. */
  storeFailed(): void
  /** A NAR was evicted, which took so many bytes on disk. */
  narEvicted(bytes: number): void
  /** A stored NAR turned out wrong when it was verified again; `finding` is finite. */
  verifyFailed(finding: string): void
}
