import type { Tally } from '../soak/tally.ts'
import { type DashboardQuery, filledIn, readQueries } from './dashboard-queries.ts'
import {
  type Counts,
  fetchRepeatedly,
  keepBusy,
  keepTurningOver,
  noCounts,
  ratioOf,
} from './load.ts'
import { type Prometheus, startPrometheus, type Stretch } from './prometheus.ts'
import { instanceOf, openScene, type Scene } from './scene.ts'
import { makeTrouble } from './trouble.ts'

/** Grafana makes it four scrapes, which are a second apart. */
const rateSeconds = 4
/** How far the dashboards' hit ratios may be from those that clients count. */
const tolerance = 0.01

type Watched = {
  readonly scene: Scene
  readonly prometheus: Prometheus
  readonly queries: readonly DashboardQuery[]
  readonly tally: Tally
}

/**
 * A Prometheus scrapes two Weirs for so many seconds of load, and then everything that can go wrong: every question of every
 * dashboard has an answer, and the hit ratios are those that the clients counted.
 */
export async function tryDashboards({
  seconds,
  tally,
}: {
  readonly seconds: number
  readonly tally: Tally
}): Promise<void> {
  await using scene = await openScene()
  // Something is stored, and every counter of a hit is there.
  await fetchRepeatedly({ ...scene, weir: scene.main }, 1, noCounts())
  await using prometheus = await startPrometheus([scene.main, scene.small].map(instanceOf))
  const watched = { scene, prometheus, tally, queries: await readQueries() }
  const from = await prometheus.scraped(instanceOf(scene.main))
  await compareRatios(watched, from, seconds)
  await troubleUnderLoad(watched)
  const to = Date.now() / 1000
  // A whole number of seconds, so that the last moment that is asked for is now.
  await askAll(watched, { from: to - Math.ceil(to - from), to })
  await mustAlert(watched, to)
}

/** From a scrape on clients count what they get; at another one the dashboards' own questions say the same of that time. */
async function compareRatios(watched: Watched, from: number, seconds: number): Promise<void> {
  const { scene, prometheus, queries, tally } = watched
  const { main, small } = scene
  const counts = noCounts()
  const signal = AbortSignal.timeout(seconds * 1000)
  await Promise.all([
    keepBusy({ ...scene, weir: main }, counts, signal),
    keepTurningOver({ ...scene, weir: small }, signal),
  ])
  const to = await prometheus.scraped(instanceOf(main))
  tally.count('NARs', counts.nars.hits + counts.nars.misses)
  for (const [title, of] of Object.entries(ratioPanels)) {
    const query = queries.find((each) => each.title === title)
    if (query === undefined || query.kind === 'labels') throw new Error(`no panel "${title}"`)
    // A millisecond more: from Prometheus 3 on a range leaves out its first moment.
    const rangeSeconds = to - from + 0.001
    const filling = { instances: [instanceOf(main)], rateSeconds, rangeSeconds }
    const [ratio] = await prometheus.query(filledIn(query.expr, filling), to)
    const shown = ratio?.samples[0]?.[1] ?? NaN
    const counted = ratioOf(counts[of])
    tally.count(`% of ${of} from disk`, Math.round(100 * counted))
    if (Math.abs(shown - counted) <= tolerance * counted) continue
    tally.fail(`"${title}" shows ${shown}, and clients counted ${counted}`)
  }
}

const ratioPanels: Readonly<Record<string, keyof Counts>> = {
  'Narinfos of stored paths': 'narinfos',
  'NARs from disk': 'nars',
  'NAR bytes from disk': 'bytes',
}

/** All goes wrong while clients get NARs, and is scraped. */
async function troubleUnderLoad({ scene, prometheus }: Watched): Promise<void> {
  const done = new AbortController()
  const busy = [scene.main, scene.small].map((weir) =>
    keepTurningOver({ ...scene, weir }, done.signal),
  )
  await makeTrouble(scene)
  // Twice, since one sample makes no rate.
  await prometheus.scraped(instanceOf(scene.main))
  await prometheus.scraped(instanceOf(scene.main))
  done.abort()
  await Promise.all(busy)
}

/** Every question of every dashboard has an answer that is a number. */
async function askAll(
  { scene, prometheus, queries, tally }: Watched,
  stretch: Stretch,
): Promise<void> {
  const instances = [scene.main, scene.small].map(instanceOf)
  for (const query of queries) {
    const found = await countValues(prometheus, query, instances, stretch)
    tally.count('questions')
    if (found > 0) continue
    const { dashboard, title } = query
    const asked = query.kind === 'labels' ? query.metric : query.expr
    tally.fail(`${dashboard}, "${title}" has no data: ${asked}`)
  }
}

/** What went wrong, and what is told of at once or is about to be. */
const troubles = [
  ...['WeirBadSignature', 'WeirLyingName', 'WeirUpstreamSuspended', 'WeirDivergence'],
  ...['WeirWrongNar', 'WeirWouldRefuse', 'WeirVerifyFailure', 'WeirReloadRefused'],
  ...['WeirUpstreamDown', 'WeirCannotStore'],
]

/** The alerts go by the metrics as they are. */
async function mustAlert({ prometheus, tally }: Watched, at: number): Promise<void> {
  const alerts = await prometheus.query('ALERTS', at)
  const names = new Set(alerts.map(({ labels }) => labels['alertname']))
  tally.count('alerts', names.size)
  for (const name of troubles) if (!names.has(name)) tally.fail(`no alert ${name}`)
}

/** How many values that are numbers a question is answered with. */
async function countValues(
  prometheus: Prometheus,
  query: DashboardQuery,
  instances: readonly string[],
  stretch: Stretch,
): Promise<number> {
  if (query.kind === 'labels') {
    return (await prometheus.labelValues(query.metric, query.label)).length
  }
  const rangeSeconds = stretch.to - stretch.from
  const expr = filledIn(query.expr, { instances, rateSeconds, rangeSeconds })
  const series =
    query.kind === 'instant'
      ? await prometheus.query(expr, stretch.to)
      : await prometheus.queryRange(expr, stretch)
  const values = series.flatMap(({ samples }) => samples).map(([, value]) => value)
  return values.filter((value) => Number.isFinite(value)).length
}
