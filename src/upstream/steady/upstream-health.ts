import type { CircuitState, UpstreamHealth } from '../../ports/upstream-health.ts'
import { type Circuit, isHostDown } from './circuit.ts'

/** The health of upstreams by the circuits of their roots: one is down where none of its roots may be asked. */
export function createUpstreamHealth(
  circuitsOf: () => ReadonlyMap<string, readonly Circuit[]>,
): UpstreamHealth {
  const of = (upstream: string): readonly Circuit[] => circuitsOf().get(upstream) ?? []
  const isDown = (upstream: string): boolean => {
    const circuits = of(upstream)
    return circuits.length > 0 && circuits.every((circuit) => !circuit.mayAsk())
  }
  return {
    isDown,
    state(upstream): CircuitState {
      const circuits = of(upstream)
      if (!isDown(upstream)) return 'closed'
      return circuits.some((circuit) => circuit.state() === 'probing') ? 'probing' : 'open'
    },
    allDown() {
      const names = [...circuitsOf().keys()]
      return names.length > 0 && names.every(isDown)
    },
    failed(upstream, code, nar) {
      if (!isHostDown(code)) return
      // That it broke off may be this file's own fault.
      const object = code === 'timeout' || code === 'reset' ? nar : null
      // Which of its roots it was is not known: it went over to another one where it could.
      for (const circuit of of(upstream)) {
        circuit.ended({ kind: 'failed', object, retryAfterMs: null })
      }
    },
    succeeded(upstream) {
      const [only, ...others] = of(upstream)
      if (others.length === 0) only?.ended({ kind: 'succeeded' })
    },
  }
}
