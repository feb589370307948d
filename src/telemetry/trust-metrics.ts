import type { Registry } from 'prom-client'
import type { Meter } from '../ports/meter.ts'
import { counter } from './counter.ts'

/** Counts what speaks against an upstream, or the policy. */
export function trustMeter(
  registry: Registry,
): Pick<Meter, 'badSignature' | 'diverged' | 'nameLied' | 'wouldRefuse'> {
  const bad = counter(
    registry,
    'weir_bad_signatures_total',
    'Signatures that failed under a key that Weir holds',
    ['upstream'],
  )
  const lies = counter(
    registry,
    'weir_lying_names_total',
    'Signed names that contradict a better one; the upstream is suspended',
    ['upstream'],
  )
  const divergences = counter(
    registry,
    'weir_divergences_total',
    'Paths of which trusted claims differ',
    [],
  )
  const wouldRefuse = counter(
    registry,
    'weir_would_refuse_total',
    'Report only: narinfos that were answered and that the policy would refuse, by reason',
    ['reason'],
  )
  return {
    badSignature(upstream) {
      bad.inc({ upstream })
    },
    diverged() {
      divergences.inc()
    },
    nameLied(upstream) {
      lies.inc({ upstream })
    },
    wouldRefuse(reason) {
      wouldRefuse.inc({ reason })
    },
  }
}
