/** The time, injected so that tests can hold it still. */
export type Clock = {
  /** Milliseconds since the Unix epoch. */
  nowMs(): number
}
