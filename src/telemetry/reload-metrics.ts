import { Gauge, type Registry } from 'prom-client'
import type { Clock } from '../ports/clock.ts'
import type { Meter } from '../ports/meter.ts'
import { counter } from './counter.ts'

/** Counts how often the configuration was taken anew, and notes when that was; the start counts. */
export function reloadMeter(registry: Registry, clock: Clock): Pick<Meter, 'reloaded'> {
  const reloads = counter(
    registry,
    {
      name: 'weir_reloads_total',
      help: 'Reloads of the configuration: ok, or refused, where the old one stays',
      labels: ['result'],
    },
    () => [['ok'], ['refused']],
  )
  const last = new Gauge({
    name: 'weir_last_reload_timestamp_seconds',
    help: 'When the configuration was taken that is in force, in seconds since 1970',
    registers: [registry],
  })
  const taken = (): void => {
    last.set(clock.nowMs() / 1000)
  }
  taken()
  return {
    reloaded(result) {
      reloads.add([result])
      if (result === 'ok') taken()
    },
  }
}
