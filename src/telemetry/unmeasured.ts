import type { HttpMeter } from '../ports/http-meter.ts'
import type { Meter } from '../ports/meter.ts'

/** For a command, whose measurements nobody reads, and for a Weir that is told not to measure. */
export const unmeasured: Meter & HttpMeter = {
  requested: () => undefined,
  answered: () => undefined,
  bodySent: () => undefined,
  upstreamAnswered: () => undefined,
  upstreamRetried: () => undefined,
  absenceRemembered: () => undefined,
  claimJudged: () => undefined,
  badSignature: () => undefined,
  diverged: () => undefined,
  nameLied: () => undefined,
  wouldRefuse: () => undefined,
  narFetched: () => undefined,
  narSourceFailed: () => undefined,
  narReadAhead: () => undefined,
  narIngested: () => undefined,
  storeFailed: () => undefined,
  narEvicted: () => undefined,
  verifyFailed: () => undefined,
  reloaded: () => undefined,
}
