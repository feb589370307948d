import { monitorEventLoopDelay } from 'node:perf_hooks'
import { collectDefaultMetrics, Gauge, type Registry } from 'prom-client'

const resolutionMs = 1
/** What prom-client samples with at its coarsest: once in 12 days. */
const neverMs = 2 ** 30
/** Without any use for so long, at most twice that, nothing is sampled any more. */
const idleMs = 5000

type Delays = ReturnType<typeof monitorEventLoopDelay>
type Statistic = { readonly help: string; readonly nanoseconds: (of: Delays) => number }

const statistics: Readonly<Record<string, Statistic>> = {
  min: { help: 'The least', nanoseconds: ({ min }) => min },
  max: { help: 'The most', nanoseconds: ({ max }) => max },
  mean: { help: 'The mean', nanoseconds: ({ mean }) => mean },
  stddev: { help: 'The standard deviation', nanoseconds: ({ stddev }) => stddev },
  p50: { help: 'The median', nanoseconds: (delays) => delays.percentile(50) },
  p90: { help: 'The 90th percentile', nanoseconds: (delays) => delays.percentile(90) },
  p99: { help: 'The 99th percentile', nanoseconds: (delays) => delays.percentile(99) },
}

export type ProcessMeter = {
  /** There is something to measure. */
  readonly used: () => void
  /** The values were given out: what comes counts anew. */
  asked(): void
}

/**
 * Puts prom-client's metrics of the process into a registry. Its statistics of the event loop's delay have their names still, but are sampled only
 * while the process is `used`: a thousand samples a second are three in a hundred of a core, all night, on a laptop too.
 */
export function exposeProcess(registry: Registry): ProcessMeter {
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: neverMs })
  const delays = monitorEventLoopDelay({ resolution: resolutionMs })
  for (const [statistic, { help, nanoseconds }] of Object.entries(statistics)) {
    const name = `nodejs_eventloop_lag_${statistic}_seconds`
    registry.removeSingleMetric(name)
    new Gauge({
      name,
      help: `${help} of the event loop's delay since the last time that this was asked, or that there was nothing to do; 0 where there still is not`,
      registers: [registry],
      collect() {
        this.set(delays.count === 0 ? 0 : nanoseconds(delays) / 1e9)
      },
    })
  }
  return {
    used: whileUsed(delays),
    asked() {
      delays.reset()
    },
  }
}

/** Samples from now on, until nothing was told for long enough. */
function whileUsed(delays: Delays): () => void {
  let wasUsed = false
  let pause: NodeJS.Timeout | null = null
  const look = (): void => {
    if (!wasUsed && pause !== null) {
      delays.disable()
      clearInterval(pause)
      pause = null
    }
    wasUsed = false
  }
  return () => {
    wasUsed = true
    if (pause !== null) return
    // Else the pause itself would be its first sample, a delay of minutes or hours.
    delays.reset()
    delays.enable()
    pause = setInterval(look, idleMs).unref()
  }
}
