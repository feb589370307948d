import type { Metric, Registry } from 'prom-client'

/** A metric's name, what it says, and its labels. */
export type Described<Names extends readonly string[]> = {
  readonly name: string
  readonly help: string
  readonly labels: Names
}

/** One line of a metric; `metricName` where it is not the metric's own name. */
export type ExposedValue = {
  readonly value: number
  readonly labels: Readonly<Record<string, string>>
  readonly metricName?: string
}

/**
 * Puts a metric into a registry whose values are read when they are asked for. prom-client's own metrics hash the labels of every single event,
 * which takes longer than all that is measured of a narinfo may.
 */
export function exposeValues(
  registry: Registry,
  { name, help, type }: Omit<Described<[]>, 'labels'> & { readonly type: 'counter' | 'histogram' },
  read: () => readonly ExposedValue[],
): void {
  const metric = {
    ...{ name, help, type },
    get: () => Promise.resolve({ name, help, type, values: read() }),
  }
  // All that a registry asks of a metric; the typings want one of prom-client's classes.
  registry.registerMetric(metric as unknown as Metric)
}
