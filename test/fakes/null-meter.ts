import type { Meter } from '../../src/ports/meter.ts'
import { unmeasured } from '../../src/telemetry/unmeasured.ts'

/** A meter that measures nothing but what a test takes over. */
export function createNullMeter(taken: Partial<Meter> = {}): Meter {
  return { ...unmeasured, ...taken }
}
