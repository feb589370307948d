import type { Meter } from '../../src/ports/meter.ts'

/** A meter that measures nothing but what a test takes over. */
export function createNullMeter(taken: Partial<Meter> = {}): Meter {
  return {
    upstreamAnswered: () => undefined,
    absenceRemembered: () => undefined,
    claimJudged: () => undefined,
    badSignature: () => undefined,
    diverged: () => undefined,
    nameLied: () => undefined,
    wouldRefuse: () => undefined,
    narFetched: () => undefined,
    narSourceFailed: () => undefined,
    narReadAhead: () => undefined,
    storeFailed: () => undefined,
    narEvicted: () => undefined,
    verifyFailed: () => undefined,
    ...taken,
  }
}
