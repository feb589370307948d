/**
 * Buffers of one size that are used again. Memory outside the engine's heap counts towards its next collection: with new buffers for every NAR
 * the collector took a third of the time in which NARs were sent.
 */
export type SpareBuffers = {
  readonly bytes: number
  /** How many are lent. */
  lent(): number
  take(): Buffer
  /** Takes back a buffer; one that somebody may still read or write is only counted. */
  giveBack(buffer: Buffer, state: 'unused' | 'in-use'): void
}

/** Keeps as many as `most` that are not lent. */
export function createSpareBuffers(bytes: number, most: number): SpareBuffers {
  const spare: Buffer[] = []
  let lent = 0
  return {
    bytes,
    lent: () => lent,
    take() {
      lent += 1
      return spare.pop() ?? Buffer.allocUnsafeSlow(bytes)
    },
    giveBack(buffer, state) {
      lent -= 1
      if (state === 'unused' && spare.length < most) spare.push(buffer)
    },
  }
}
