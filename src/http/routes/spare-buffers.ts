/**
 * Buffers of one size that are used again. Memory outside the engine's heap counts towards its next collection: with new buffers for every NAR
 * the collector took a third of the time in which NARs were sent.
 */
export type SpareBuffers = {
  readonly bytes: number
  take(): Buffer
  /** Gives back a buffer that nobody reads or writes any more. */
  giveBack(buffer: Buffer): void
}

/** Keeps as many as `most` that are not in use. */
export function createSpareBuffers(bytes: number, most: number): SpareBuffers {
  const spare: Buffer[] = []
  return {
    bytes,
    take: () => spare.pop() ?? Buffer.allocUnsafeSlow(bytes),
    giveBack(buffer) {
      if (spare.length < most) spare.push(buffer)
    },
  }
}
