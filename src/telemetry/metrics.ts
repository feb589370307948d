import { Registry } from 'prom-client'
import type { Clock } from '../ports/clock.ts'
import type { HttpMeter } from '../ports/http-meter.ts'
import type { Meter } from '../ports/meter.ts'
import { exposeGauges, type Gauges } from './gauges.ts'
import { httpMeter } from './http-metrics.ts'
import { exposeProcess } from './process-metrics.ts'
import { reloadMeter } from './reload-metrics.ts'
import { storeMeter } from './store-metrics.ts'
import { trustMeter } from './trust-metrics.ts'
import { unmeasured } from './unmeasured.ts'
import { upstreamMeter } from './upstream-metrics.ts'

export type Metrics = Meter &
  HttpMeter & {
    /** Everything, in Prometheus' text format; `null` where nothing is measured. */
    readonly expose: Expose | null
  }

export type Expose = () => Promise<{ readonly contentType: string; readonly text: string }>

/** Weir's metrics, in a registry of their own. Labels are finite: routes, statuses, results, upstreams, rules. */
export function createMetrics(
  gauges: Gauges,
  { clock }: { readonly clock: Clock },
): Metrics & { readonly expose: Expose } {
  const registry = new Registry()
  const own = exposeProcess(registry)
  exposeGauges(registry, gauges)
  return {
    ...httpMeter(registry, own.used),
    ...upstreamMeter(registry, gauges.upstreams),
    ...trustMeter(registry, gauges),
    ...storeMeter(registry),
    ...reloadMeter(registry, clock),
    expose: async () => {
      const text = await registry.metrics()
      own.asked()
      return { contentType: registry.contentType, text }
    },
  }
}

/** Measures nothing, which costs nothing. */
export const noMetrics: Metrics = { ...unmeasured, expose: null }
