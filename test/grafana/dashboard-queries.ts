import { readdir, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { z } from 'zod'

const folder = resolve(import.meta.dirname, '../../grafana/dashboards')

const target = z.object({ expr: z.string(), instant: z.boolean() })
const file = z.object({
  uid: z.string(),
  panels: z.array(z.object({ title: z.string(), targets: z.array(target).default([]) })),
  annotations: z.object({
    list: z.array(z.object({ name: z.string(), expr: z.string().optional() })),
  }),
  templating: z.object({
    list: z.array(
      z.object({ name: z.string(), type: z.string(), definition: z.string().optional() }),
    ),
  }),
})

/** A question that a dashboard puts to Prometheus, with Grafana's variables in it. */
export type DashboardQuery = {
  readonly dashboard: string
  /** Of the panel, the annotation or the variable. */
  readonly title: string
} & (
  | { readonly kind: 'instant' | 'range'; readonly expr: string }
  | { readonly kind: 'labels'; readonly metric: string; readonly label: string }
)

/** Every question of every dashboard, as the files in grafana/dashboards have them. */
export async function readQueries(): Promise<readonly DashboardQuery[]> {
  const files = (await readdir(folder)).sort()
  const queries = files.map(async (name) =>
    queriesOf(file.parse(JSON.parse(await readFile(join(folder, name), 'utf8')))),
  )
  return (await Promise.all(queries)).flat()
}

function queriesOf(dashboard: z.infer<typeof file>): readonly DashboardQuery[] {
  const of = { dashboard: dashboard.uid }
  return [
    ...dashboard.panels.flatMap(({ title, targets }) =>
      targets.map(({ expr, instant }) => {
        const kind = instant ? ('instant' as const) : ('range' as const)
        return { ...of, title, kind, expr }
      }),
    ),
    ...dashboard.annotations.list.flatMap(({ name, expr }) =>
      expr === undefined ? [] : [{ ...of, title: name, kind: 'range' as const, expr }],
    ),
    ...dashboard.templating.list.flatMap(({ name, type, definition = '' }) => {
      if (type !== 'query') return []
      const [, metric = '', label = ''] = /^label_values\((\w+), (\w+)\)$/.exec(definition) ?? []
      return [{ ...of, title: name, kind: 'labels' as const, metric, label }]
    }),
  ]
}

/** A question as Grafana sends it: for these instances, `rateSeconds` and `rangeSeconds` for its two intervals. */
export function filledIn(
  expr: string,
  {
    instances,
    rateSeconds,
    rangeSeconds,
  }: {
    readonly instances: readonly string[]
    readonly rateSeconds: number
    readonly rangeSeconds: number
  },
): string {
  const anyOf = instances.map((each) => each.replaceAll('.', String.raw`\\.`)).join('|')
  const filled = expr
    .replaceAll('$instance', `(${anyOf})`)
    .replaceAll('$__rate_interval', `${Math.round(rateSeconds * 1000)}ms`)
    .replaceAll('$__range', `${Math.round(rangeSeconds * 1000)}ms`)
  if (filled.includes('$')) throw new Error(`an unknown variable in ${filled}`)
  return filled
}
