import type { UpstreamHealth } from '../../src/ports/upstream-health.ts'

/** Upstreams that are up, but for what a test takes over. */
export function createUpHealth(taken: Partial<UpstreamHealth> = {}): UpstreamHealth {
  return {
    state: () => 'closed',
    isDown: () => false,
    allDown: () => false,
    failed: () => undefined,
    succeeded: () => undefined,
    ...taken,
  }
}
