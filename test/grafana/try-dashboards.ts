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
  await using prometheus = await startPrometheus([instanceOf(scene.main), instanceOf(scene.small)])
  const queries = await readQueries()
  const from = await prometheus.scraped()
  await compareRatios(scene, prometheus, seconds, queries, tally)
  await troubleUnderLoad(scene, prometheus)
  const to = await prometheus.scraped()
  const instances = [scene.main, scene.small].map(instanceOf)
  for (const query of queries) {
    const found = await countValues(prometheus, query, instances, { from, to })
    tally.count('questions')
    if (found === 0)
      tally.fail(`${query.dashboard}, "${query.title}" has no data: ${textOf(query)}`)
  }
}

/** Clients count what they get, between two scrapes; the dashboards' own questions say the same of that time. */
async function compareRatios(
  { main, small, nextPath }: Scene,
  prometheus: Prometheus,
  seconds: number,
  queries: readonly DashboardQuery[],
  tally: Tally,
): Promise<void> {
  // The counters are there before it begins.
  await fetchRepeatedly(main, await nextPath(), 1, noCounts())
  const from = await prometheus.scraped()
  const counts = noCounts()
  const signal = AbortSignal.timeout(seconds * 1000)
  await Promise.all([
    keepBusy(main, nextPath, signal, counts),
    keepBusy(main, nextPath, signal, counts),
    keepTurningOver(small, nextPath, signal),
  ])
  const to = await prometheus.scraped()
  tally.count('NARs', counts.nars.hits + counts.nars.misses)
  for (const [title, of] of Object.entries(ratioPanels)) {
    const query = queries.find((each) => each.title === title)
    const expr = query === undefined || query.kind === 'labels' ? '' : query.expr
    const instances = [instanceOf(main)]
    const filled = filledIn(expr, { instances, rateSeconds, rangeSeconds: to - from })
    const [ratio] = await prometheus.query(filled, to)
    const shown = ratio?.samples[0]?.[1] ?? NaN
    const counted = ratioOf(counts[of])
    tally.count(`% ${of} from disk`, Math.round(100 * counted))
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
async function troubleUnderLoad(scene: Scene, prometheus: Prometheus): Promise<void> {
  const done = new AbortController()
  const busy = [
    keepTurningOver(scene.main, scene.nextPath, done.signal),
    keepTurningOver(scene.small, scene.nextPath, done.signal),
  ]
  await makeTrouble(scene)
  // Twice, since one sample makes no rate.
  await prometheus.scraped()
  await prometheus.scraped()
  done.abort()
  await Promise.all(busy)
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
  return series.flatMap(({ samples }) => samples).filter(([, value]) => Number.isFinite(value))
    .length
}

function textOf(query: DashboardQuery): string {
  return query.kind === 'labels' ? `${query.metric}, ${query.label}` : query.expr
}
