/** The kinds of panels that the dashboards are made of. */
import { type Json, panel, type Panel, type PanelOptions } from './panel.ts'

const latest: Json = { calcs: ['lastNotNull'], fields: '', values: false }
const at = (query: Readonly<Record<string, Json>>) => ({ instant: true, range: false, ...query })

/** Lines over time. With `isStacked` they are areas that add up; with `hasLimits` the thresholds are drawn as dashed lines. */
export function lines(
  options: PanelOptions & { readonly isStacked?: boolean; readonly hasLimits?: boolean },
): Panel {
  const { isStacked = false, hasLimits = false } = options
  return panel('timeseries', options, {
    color: 'palette-classic',
    custom: {
      ...{ drawStyle: 'line', lineInterpolation: 'linear', lineWidth: 1 },
      ...{ fillOpacity: isStacked ? 40 : 8, showPoints: 'never', spanNulls: false },
      stacking: { mode: isStacked ? 'normal' : 'none', group: 'A' },
      thresholdsStyle: { mode: hasLimits ? 'dashed' : 'off' },
    },
    options: {
      legend: { displayMode: 'list', placement: 'bottom', showLegend: true, calcs: [] },
      tooltip: { mode: 'multi', sort: 'desc' },
    },
  })
}

/** A counter of what should never happen, since each Weir started: a line that steps up. */
export function events(options: PanelOptions): Panel {
  return panel(
    'timeseries',
    { min: 0, decimals: 0, ...options },
    {
      color: 'palette-classic',
      custom: {
        ...{ drawStyle: 'line', lineInterpolation: 'stepAfter', lineWidth: 2, fillOpacity: 20 },
        ...{ showPoints: 'never', spanNulls: false, stacking: { mode: 'none', group: 'A' } },
      },
      options: {
        legend: {
          ...{ displayMode: 'table', placement: 'right', showLegend: true },
          calcs: ['lastNotNull'],
        },
        tooltip: { mode: 'multi', sort: 'desc' },
      },
    },
  )
}

/** One number now, with its course behind it. */
export function stat(options: PanelOptions): Panel {
  return panel(
    'stat',
    { width: 4, height: 4, ...options },
    {
      options: {
        ...{ reduceOptions: latest, orientation: 'auto', textMode: 'auto', colorMode: 'value' },
        ...{ graphMode: 'area', justifyMode: 'auto', wideLayout: true },
      },
    },
  )
}

/** One number of the whole time that is shown. */
export function total(options: PanelOptions): Panel {
  return panel(
    'stat',
    { width: 4, height: 4, ...options },
    {
      query: at({}),
      options: {
        ...{ reduceOptions: latest, orientation: 'auto', textMode: 'auto', colorMode: 'value' },
        ...{ graphMode: 'none', justifyMode: 'auto', wideLayout: true },
      },
    },
  )
}

/** Which state each of several things was in, over time. */
export function states(options: PanelOptions): Panel {
  return panel('state-timeline', options, {
    custom: { fillOpacity: 75, lineWidth: 0 },
    options: {
      ...{ mergeValues: true, showValue: 'never', alignValue: 'left', rowHeight: 0.85 },
      legend: { displayMode: 'list', placement: 'bottom', showLegend: true },
      tooltip: { mode: 'single', sort: 'none' },
    },
  })
}

/** How a histogram's values spread, over time; its one query keeps the label `le`. */
export function heat(options: PanelOptions): Panel {
  return panel('heatmap', options, {
    custom: { hideFrom: { legend: false, tooltip: false, viz: false } },
    query: { range: true, instant: false, format: 'heatmap' },
    options: {
      ...{ calculate: false, cellGap: 1, showValue: 'never' },
      cellValues: { unit: 'short', decimals: 1 },
      color: {
        ...{ mode: 'scheme', scheme: 'Oranges', steps: 64, exponent: 0.5, reverse: false },
        fill: 'dark-orange',
      },
      ...{ filterValues: { le: 1e-9 }, rowsFrame: { layout: 'auto' }, legend: { show: true } },
      exemplars: { color: 'rgba(255,0,255,0.7)' },
      tooltip: { mode: 'single', yHistogram: true, showColorScale: false },
      yAxis: { axisPlacement: 'left', reverse: false, unit: options.unit ?? 'short' },
    },
  })
}

/** Bars, the longest first, of one number each. */
export function bars(options: PanelOptions): Panel {
  return panel('bargauge', options, {
    query: at({}),
    options: {
      ...{ displayMode: 'basic', orientation: 'horizontal', showUnfilled: true },
      ...{ valueMode: 'color', namePlacement: 'auto', sizing: 'auto', reduceOptions: latest },
      ...{ minVizHeight: 16, maxVizHeight: 300, minVizWidth: 8 },
    },
  })
}

/**
 * A table of what holds now, the largest value first: `columns` are labels with their headings, `value` is the heading of the
 * number. `link` is an address behind the first column, with `${__value.raw}` for what that says.
 */
export function table(
  options: PanelOptions & {
    readonly columns: Readonly<Record<string, string>>
    readonly value: string
    readonly link?: { readonly title: string; readonly url: string }
  },
): Panel {
  const { columns, value, link } = options
  const names = Object.keys(columns)
  const [first = ''] = Object.values(columns)
  return panel('table', options, {
    custom: { align: 'auto', cellOptions: { type: 'auto' }, filterable: true },
    query: at({ format: 'table' }),
    options: { showHeader: true, cellHeight: 'sm', footer: { show: false, reducer: ['sum'] } },
    overrides: link
      ? [
          {
            matcher: { id: 'byName', options: first },
            properties: [{ id: 'links', value: [{ ...link, targetBlank: true }] }],
          },
        ]
      : [],
    transformations: [
      { id: 'filterFieldsByName', options: { include: { names: [...names, 'Value'] } } },
      {
        id: 'organize',
        options: {
          excludeByName: {},
          indexByName: Object.fromEntries([...names, 'Value'].map((name, index) => [name, index])),
          renameByName: { ...columns, Value: value },
        },
      },
      { id: 'sortBy', options: { fields: {}, sort: [{ field: value, desc: true }] } },
    ],
  })
}

/** Text, in Markdown. */
export function note(title: string, content: string): Panel {
  return {
    ...{ width: 24, height: 4 },
    json: {
      ...{ type: 'text', title, description: '' },
      options: { mode: 'markdown', content },
    },
  }
}
