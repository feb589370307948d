/** Panels as Grafana 11 and 12 read them; where they stand is the dashboard's to say. */

/** What JSON can say. */
export type Json =
  string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json }

/** One question to Prometheus, and what its answer is called: a text with `{{label}}` in it. */
export type Query = { readonly expr: string; readonly legend?: string }

/** From which value on a colour holds; the first has none. */
export type Step = { readonly from: number | null; readonly color: string }

export type PanelOptions = {
  readonly title: string
  /** For people: what is seen, and what would be wrong with it. */
  readonly description: string
  readonly queries: readonly Query[]
  /** Grafana's name of the unit, such as `bytes`, `s`, `percentunit`, `reqps`. */
  readonly unit?: string
  readonly min?: number
  readonly max?: number
  readonly decimals?: number
  readonly steps?: readonly Step[]
  /** Shown where there is no value, as of an event that never was. */
  readonly noValue?: string
  /** What numbers stand for. */
  readonly meanings?: Readonly<Record<string, { readonly text: string; readonly color: string }>>
  /** In twenty-fourths of the dashboard's width; 8 unless told. */
  readonly width?: number
  /** In Grafana's rows of 30 px; 8 unless told. */
  readonly height?: number
}

/** A panel without its place and number. */
export type Panel = {
  readonly width: number
  readonly height: number
  readonly json: Readonly<Record<string, Json>>
}

/** The data source that the dashboard's variable names. */
export const dataSource: Json = { type: 'prometheus', uid: '${datasource}' }

const letters = 'ABCDEFGH'

/** A panel of one of Grafana's types; `fields` and `options` are that type's own. */
export function panel(
  type: string,
  options: PanelOptions,
  own: {
    readonly custom?: Json
    readonly color?: string
    readonly options: Json
    readonly query?: Readonly<Record<string, Json>>
    readonly overrides?: readonly Json[]
    readonly transformations?: readonly Json[]
  },
): Panel {
  const { title, description, queries, width = 8, height = 8 } = options
  const { query = { range: true, instant: false }, overrides = [], transformations } = own
  return {
    ...{ width, height },
    json: {
      ...{ type, title, description, datasource: dataSource },
      targets: queries.map(({ expr, legend = '' }, index) => ({
        ...{ refId: letters[index] ?? '', datasource: dataSource, editorMode: 'code', expr },
        legendFormat: legend,
        ...query,
      })),
      fieldConfig: { defaults: fieldDefaults(options, own), overrides },
      options: own.options,
      ...(transformations && { transformations }),
    },
  }
}

function fieldDefaults(
  { unit = 'short', min, max, decimals, steps, noValue, meanings }: PanelOptions,
  { custom, color = 'thresholds' }: { readonly custom?: Json; readonly color?: string },
): Json {
  const values = Object.entries(meanings ?? {}).map(
    ([value, meaning], index) => [value, { ...meaning, index }] as const,
  )
  return {
    unit,
    ...(min !== undefined && { min }),
    ...(max !== undefined && { max }),
    ...(decimals !== undefined && { decimals }),
    ...(noValue !== undefined && { noValue }),
    ...(custom !== undefined && { custom }),
    color: { mode: color },
    mappings: values.length === 0 ? [] : [{ type: 'value', options: Object.fromEntries(values) }],
    thresholds: {
      mode: 'absolute',
      steps: (steps ?? neutral).map(({ from, color: shown }) => ({ color: shown, value: from })),
    },
  }
}

const neutral: readonly Step[] = [{ from: null, color: 'blue' }]

/** Green up to a value, then yellow, then red. */
export function worseAbove(yellow: number, red: number): readonly Step[] {
  return [
    { from: null, color: 'green' },
    { from: yellow, color: 'yellow' },
    { from: red, color: 'red' },
  ]
}

/** Red below the first value, yellow below the second, else green. */
export function worseBelow(red: number, yellow: number): readonly Step[] {
  return [
    { from: null, color: 'red' },
    { from: red, color: 'yellow' },
    { from: yellow, color: 'green' },
  ]
}

/** Green for none at all, red for any. */
export const noneIsGood: readonly Step[] = [
  { from: null, color: 'green' },
  { from: 1, color: 'red' },
]
