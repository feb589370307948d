import type { Registry } from 'prom-client'
import { type Described, exposeValues, type ExposedValue } from './expose-values.ts'
import { createLabelTree, type LabelEntry, type LabelValues } from './label-tree.ts'

/** How often something took how long. */
export type Histogram<Names extends readonly string[]> = {
  observe(values: LabelValues<Names>, seconds: number): void
}

/** How many fell into each bucket, not into those below it; the last one is what is above all bounds. */
type Observed = { readonly buckets: Float64Array; sum: number }

/** Makes a histogram in a registry, with the upper bounds of its buckets in seconds, from the lowest up; its labels are of finite sets. */
export function histogram<const Names extends readonly string[]>(
  registry: Registry,
  { name, help, labels, bounds }: Described<Names> & { readonly bounds: readonly number[] },
): Histogram<Names> {
  const makeLeaf = (): Observed => ({ buckets: new Float64Array(bounds.length + 1), sum: 0 })
  const tree = createLabelTree(labels, makeLeaf)
  exposeValues(registry, { name, help, type: 'histogram' }, () =>
    tree.entries().flatMap((entry) => linesOf(name, bounds, entry)),
  )
  return {
    observe(values, seconds) {
      const observed = tree.at(values)
      // Most of what is measured is short: the first bounds are the nearest.
      let at = 0
      while (at < bounds.length && seconds > (bounds[at] ?? Infinity)) at += 1
      observed.buckets[at] = (observed.buckets[at] ?? 0) + 1
      observed.sum += seconds
    },
  }
}

/** In Prometheus' form: each bucket counts those below it too. */
function linesOf(
  name: string,
  bounds: readonly number[],
  { labels, leaf: { buckets, sum } }: LabelEntry<Observed>,
): readonly ExposedValue[] {
  const metricName = `${name}_bucket`
  let count = 0
  const lines = [...buckets].map((its, at): ExposedValue => {
    count += its
    return { metricName, labels: { ...labels, le: String(bounds[at] ?? '+Inf') }, value: count }
  })
  return [
    ...lines,
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: count },
  ]
}
