import type { Traffic } from '../../activity/activity.ts'
import { html } from '../view/html.ts'
import { formatBytes, formatMs, formatRate, formatRatio } from '../view/units.ts'
import { show } from './dom.ts'

type Values = readonly (number | null)[]
type Line = { readonly label: string; readonly values: (traffic: Traffic) => Values }
type ChartKind = {
  readonly title: string
  readonly lines: readonly [Line, ...Line[]]
  readonly format: (value: number) => string
  /** The top of the scale; `null` for what the values need. */
  readonly most: number | null
  /** How far apart the scale's steps may be. */
  readonly steps?: number[]
}

/** Round numbers of bytes. */
const byteSteps = [1, 2 ** 10, 2 ** 20, 2 ** 30, 2 ** 40].flatMap((unit) =>
  [1, 2, 5, 10, 20, 50, 100, 200, 500].map((step) => step * unit),
)

const kinds: readonly ChartKind[] = [
  {
    title: 'Answers a second',
    lines: [
      { label: 'narinfos', values: (traffic) => traffic.narinfosPerSecond },
      { label: 'NARs', values: (traffic) => traffic.narsPerSecond },
    ],
    format: formatRate,
    most: null,
  },
  {
    title: 'Bytes a second',
    lines: [
      { label: 'to clients', values: (traffic) => traffic.sentBytesPerSecond },
      { label: 'from upstreams', values: (traffic) => traffic.fetchedBytesPerSecond },
    ],
    format: formatBytes,
    most: null,
    steps: byteSteps,
  },
  {
    title: 'NARs from the store',
    lines: [{ label: 'hit ratio', values: (traffic) => traffic.narHitRatio }],
    format: formatRatio,
    most: 1,
  },
  {
    title: 'Time for a narinfo',
    lines: [
      { label: 'median', values: (traffic) => traffic.narinfoMedianMs },
      { label: '95 %', values: (traffic) => traffic.narinfoP95Ms },
    ],
    format: formatMs,
    most: null,
  },
]

const heightPx = 130

/** The charts, drawn anew with each `draw`. */
export type Charts = { readonly draw: (traffic: Traffic) => void }

/** Draws charts into an element, as wide as there is room and in the colours of the moment. */
export function createCharts(into: HTMLElement): Charts {
  show(into, html`${kinds.map((kind) => figure(kind))}`)
  const figures = [...into.querySelectorAll('figure')]
  let latest: Traffic | null = null
  let drawn: readonly Drawn[] = []
  const drawAll = (traffic: Traffic): void => {
    if (drawn.length === 0) drawn = figures.map((each, index) => begin(each, kinds[index], traffic))
    for (const each of drawn) each.update(traffic)
  }
  const again = (): void => {
    for (const each of drawn) each.end()
    drawn = []
    if (latest !== null) drawAll(latest)
  }
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', again)
  new ResizeObserver(() => {
    for (const each of drawn) each.fit()
  }).observe(into)
  return {
    draw(traffic) {
      latest = traffic
      drawAll(traffic)
    },
  }
}

function figure({ title, lines }: ChartKind) {
  const legend = lines.map(
    ({ label }, index) =>
      html`<span class="line"
        ><span class="swatch line-${index + 1}" aria-hidden="true"></span> ${label}
        <b class="number"></b
      ></span>`,
  )
  return html`<figure>
    <figcaption>
      <h3>${title}</h3>
      <span class="legend">${legend}</span>
    </figcaption>
    <div class="plot" role="img" aria-label="${title}"></div>
  </figure>`
}

type Drawn = {
  readonly update: (traffic: Traffic) => void
  readonly fit: () => void
  readonly end: () => void
}

function begin(figure: HTMLElement, kind: ChartKind | undefined, traffic: Traffic): Drawn {
  const plot = figure.querySelector<HTMLElement>('.plot')
  if (plot === null || kind === undefined) throw new Error('a chart has a place and a kind')
  const numbers = [...figure.querySelectorAll('.number')]
  const tell = (chart: uPlot): void => {
    const at = chart.cursor.idx ?? chart.data[0].length - 1
    numbers.forEach((number, index) => {
      const value = chart.data[index + 1]?.[at]
      number.textContent = value === null || value === undefined ? '–' : kind.format(value)
    })
  }
  const size = () => ({ width: Math.max(200, plot.clientWidth), height: heightPx })
  const chart = new uPlot({ ...size(), ...options(kind, tell) }, dataOf(kind, traffic), plot)
  return {
    update(next) {
      chart.setData(dataOf(kind, next))
      tell(chart)
    },
    fit: () => {
      chart.setSize(size())
    },
    end: () => {
      chart.destroy()
    },
  }
}

function dataOf({ lines }: ChartKind, traffic: Traffic): uPlot.AlignedData {
  return [
    traffic.timesMs.map((ms) => ms / 1000),
    ...lines.map(({ values }) => [...values(traffic)]),
  ]
}

function options(
  { lines, format, most, steps }: ChartKind,
  tell: (chart: uPlot) => void,
): Omit<uPlot.Options, 'width' | 'height'> {
  const axis = { stroke: colour('--muted'), font: '12px system-ui, sans-serif' }
  const faint = { stroke: colour('--line'), width: 1 }
  return {
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, sync: { key: 'traffic' } },
    hooks: { setCursor: [tell] },
    scales: {
      y: { range: (_chart, _min, max) => [0, most ?? (max > 0 ? max * 1.1 : 1)] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        ticks: faint,
        size: 26,
        space: 70,
        values: (_chart, splits, _axis, _space, incr) =>
          splits.map((seconds) => clockTime(seconds, incr)),
      },
      {
        ...axis,
        grid: faint,
        ticks: { show: false },
        size: 64,
        space: 34,
        ...(steps === undefined ? {} : { incrs: steps }),
        values: (_chart, splits) => splits.map(format),
      },
    ],
    series: [
      {},
      ...lines.map((_line, index) => ({
        stroke: colour(`--line-${index + 1}`),
        width: 1.5,
        spanGaps: true,
        ...(index === 0 ? { fill: colour('--line-fill') } : { dash: [5, 3] }),
      })),
    ],
  }
}

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim()
}

/** With seconds, where times so far apart need them to differ. */
function clockTime(seconds: number, apartSeconds: number): string {
  const minutes = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' } as const
  const options = apartSeconds < 60 ? { ...minutes, second: '2-digit' as const } : minutes
  return new Date(seconds * 1000).toLocaleTimeString([], options)
}
