import { dataSource, type Json, type Panel } from './panel.ts'
import { note } from './panels.ts'

/** A heading, and the panels below it in the order of reading. */
export type Section = { readonly title: string; readonly panels: readonly Panel[] }

export type DashboardOptions = {
  /** Its address in Grafana, which never changes; its file is called the same. */
  readonly uid: string
  readonly title: string
  readonly description: string
  readonly sections: readonly Section[]
}

/** A dashboard's file. */
export type Dashboard = { readonly uid: string; readonly json: Json }

const width = 24

const toRead: Section = {
  title: 'To read',
  panels: [
    note(
      'What these figures mean, and what to do',
      'In the documentation of Weir: `docs/metrics.md` says what each figure is, `docs/monitoring.md` what each alert means and what to do about it. ' +
        'On the machine itself: `weir status`, `weir upstream list`, `weir stats`, and `weir explain PATH`, which says why a path is served or not, and who got it.',
    ),
  ],
}

/** Makes a dashboard of sections, with what every dashboard has. */
export function dashboard({ uid, title, description, sections }: DashboardOptions): Dashboard {
  return {
    uid,
    json: {
      ...{ uid, title, description, tags: ['weir'], schemaVersion: 39, version: 1 },
      ...{ editable: true, graphTooltip: 1, refresh: '30s', timezone: '', weekStart: '' },
      time: { from: 'now-6h', to: 'now' },
      timepicker: {},
      links: [otherDashboards],
      annotations: { list: [builtIn, ...annotations] },
      templating: { list: variables },
      panels: layOut([...sections, toRead]),
    },
  }
}

/** Puts panels side by side, as many as fit, below each section's heading. */
function layOut(sections: readonly Section[]): readonly Json[] {
  const placed: Json[] = []
  let y = 0
  const place = (json: Readonly<Record<string, Json>>, x: number, w: number, h: number) => {
    placed.push({ id: placed.length + 1, ...json, gridPos: { x, y, w, h } })
  }
  for (const { title, panels } of sections) {
    place({ type: 'row', title, collapsed: false, panels: [] }, 0, width, 1)
    y += 1
    let x = 0
    let tallest = 0
    for (const panel of panels) {
      if (x + panel.width > width) {
        y += tallest
        x = 0
        tallest = 0
      }
      place(panel.json, x, panel.width, panel.height)
      x += panel.width
      tallest = Math.max(tallest, panel.height)
    }
    y += tallest
  }
  return placed
}

const otherDashboards: Json = {
  ...{ type: 'dashboards', tags: ['weir'], title: 'Weir', icon: 'external link' },
  ...{
    asDropdown: false,
    includeVars: true,
    keepTime: true,
    targetBlank: false,
    url: '',
    tooltip: '',
  },
}

const variables: readonly Json[] = [
  {
    ...{ name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus' },
    ...{ refresh: 1, regex: '', hide: 0, includeAll: false, multi: false, options: [] },
    current: {},
  },
  {
    ...{ name: 'instance', label: 'Instance', type: 'query', datasource: dataSource },
    definition: 'label_values(weir_build_info, instance)',
    query: { qryType: 1, query: 'label_values(weir_build_info, instance)', refId: 'instances' },
    ...{ refresh: 2, regex: '', sort: 1, hide: 0, includeAll: true, multi: true, options: [] },
    current: { text: ['All'], value: ['$__all'] },
  },
]

const builtIn: Json = {
  ...{ builtIn: 1, name: 'Annotations & Alerts', type: 'dashboard', enable: true, hide: true },
  datasource: { type: 'grafana', uid: '-- Grafana --' },
  iconColor: 'rgba(0, 211, 255, 1)',
}

const annotations: readonly Json[] = [
  annotation({
    name: 'Reloads and starts',
    iconColor: 'blue',
    expr: 'changes(weir_last_reload_timestamp_seconds{instance=~"$instance"}[1m]) > 0',
    title: '{{instance}} took its configuration',
  }),
  annotation({
    name: 'Divergences',
    iconColor: 'red',
    // A counter that begins at 1 has not risen, and is news all the same.
    expr:
      'sum by (instance, rule) (increase(weir_divergences_total{instance=~"$instance"}[1m])) > 0 or ' +
      'sum by (instance, rule) (weir_divergences_total{instance=~"$instance"}) > 0 unless ' +
      'sum by (instance, rule) (weir_divergences_total{instance=~"$instance"} offset 1m)',
    title: '{{instance}}: upstreams differ, rule "{{rule}}"',
  }),
]

function annotation(shown: {
  readonly name: string
  readonly iconColor: string
  readonly expr: string
  readonly title: string
}): Json {
  const { title, ...rest } = shown
  return {
    ...{ ...rest, datasource: dataSource, enable: true, hide: false, step: '1m' },
    ...{ titleFormat: title, textFormat: '', tagKeys: 'instance', useValueForTime: false },
  }
}
