import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** A metric as it is exposed, or as it is documented. */
export type MetricText = {
  readonly name: string
  readonly type: string
  /** But for a histogram's `le`; of an exposed metric those that its lines have. */
  readonly labels: readonly string[]
}

export type ExposedMetric = MetricText & {
  /** Lines, each bucket of a histogram one. */
  readonly series: number
}

/** What a text in Prometheus' format exposes. */
export function parseMetrics(text: string): readonly ExposedMetric[] {
  return text.split('\n\n').flatMap((part) => {
    const [, name, type] = /^# TYPE (\S+) (\S+)$/m.exec(part) ?? []
    if (name === undefined || type === undefined) return []
    const lines = part.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
    const labels = lines.flatMap((line) =>
      [...line.matchAll(/[{,]([a-z_]+)="/g)].flatMap(([, label = '']) => label),
    )
    const known = new Set(labels.filter((label) => type !== 'histogram' || label !== 'le'))
    return { name, type, labels: [...known], series: lines.length }
  })
}

const file = join(import.meta.dirname, '../../docs/metrics.md')

/** What the table of docs/metrics.md has. */
export async function documentedMetrics(): Promise<readonly MetricText[]> {
  const rows = (await readFile(file, 'utf8')).matchAll(/^\| `(weir_\w+)` \| (\w+) \|([^|]*)\|/gm)
  return [...rows].map(([, name = '', type = '', labels = '']) => ({
    ...{ name, type },
    labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label = '']) => label),
  }))
}
