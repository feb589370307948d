/** When the next upstream of an `equivalent` group is asked besides one that has not answered. */
export type Hedging = {
  /** An upstream is asked that has others behind it. */
  asked(): void
  /** An upstream answered a question for a narinfo after so many milliseconds. */
  took(upstream: string, ms: number): void
  /**
   * Resolves to `true` once the upstream takes longer than it nearly always does and there is a question to spare, else to `false`; rejects
   * when the signal aborts.
   */
  isSlow(upstream: string, signal: AbortSignal): Promise<boolean>
}
