/**
 * What it costs to measure: narinfos a second, and CPU time of one, of a Weir with all its metrics and of one without, asked in turn for
 * 5,000 paths that they know, over 25 connections that are kept; and how long `/metrics` takes after that. The goals are 0.95 times
 * the rate without, and 20 ms. Two processes of the same program differ by more than metrics cost, so that each round starts new ones;
 * with --control neither measures, which shows how much the machine makes of it.
 * Run: npm run bench metrics -- [--rounds N] [--seconds N] [--control] [--json FILE]
 */
import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { startWeir, type WeirProcess } from '../test/lab/weir-process.ts'
import { median } from './median.ts'
import { startMadeNarinfos } from './narinfo/made-narinfos.ts'
import { askAll, measure, type Sample } from './narinfo/measure.ts'
import { formatTable } from './table.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    seconds: { type: 'string', default: '1' },
    control: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
})
const paths = 5000
const scrapes = 20
/** Of each process in a round; the first one warms it up. */
const turns = 4
const rateGoal = 0.95
const scrapeGoalMs = 20

await using upstream = await startMadeNarinfos(paths)

async function start(metrics: boolean): Promise<WeirProcess> {
  const upstreams = [{ name: 'made', url: upstream.url, keys: [upstream.publicKey] }]
  const extra = { log: { level: 'info', format: 'json' }, server: { metrics } }
  const weir = await startWeir({ config: { upstreams, extra } })
  await askAll(weir, upstream.hashes)
  return weir
}

const measureOne = (weir: WeirProcess): Promise<Sample> =>
  measure(weir, upstream.hashes, Number(values.seconds))

type Scrape = { readonly ms: number; readonly series: number }

/** Milliseconds until `/metrics` was there, and its lines; the median of some. */
async function scrape({ url }: WeirProcess): Promise<Scrape> {
  const all: Scrape[] = []
  for (let count = 0; count < scrapes; count += 1) {
    const began = performance.now()
    const text = await (await fetch(`${url}/metrics`)).text()
    const series = text.split('\n').filter((line) => line !== '' && !line.startsWith('#')).length
    all.push({ ms: performance.now() - began, series })
  }
  return { ms: median(all.map(({ ms }) => ms)), series: all.at(-1)?.series ?? 0 }
}

type Round = { readonly measured: Sample; readonly unmeasured: Sample; readonly scraped: Scrape }

/** Who starts first changes, and they take turns, so that what else the machine does is the same for both. */
async function runRound(round: number): Promise<Round> {
  const isFirst = round % 2 === 0
  await using one = await start(isFirst && !values.control)
  await using other = await start(!isFirst && !values.control)
  const [measuring, plain] = isFirst ? [one, other] : [other, one]
  const samples: (readonly [Sample, Sample])[] = []
  for (let turn = 0; turn < turns; turn += 1) {
    const both = [await measureOne(measuring), await measureOne(plain)] as const
    if (turn > 0) samples.push(both)
  }
  return {
    measured: medianOf(samples.map(([first]) => first)),
    unmeasured: medianOf(samples.map(([, second]) => second)),
    scraped: await scrape(measuring),
  }
}

function medianOf(samples: readonly Sample[]): Sample {
  return {
    narinfosPerSecond: median(samples.map(({ narinfosPerSecond }) => narinfosPerSecond)),
    cpuMicroseconds: median(samples.map(({ cpuMicroseconds }) => cpuMicroseconds)),
  }
}

const rounds: Round[] = []
for (let round = 0; round < Number(values.rounds); round += 1) rounds.push(await runRound(round))

const row = (name: string, samples: readonly Sample[]): readonly string[] => {
  const { narinfosPerSecond, cpuMicroseconds } = medianOf(samples)
  return [name, narinfosPerSecond.toFixed(0), cpuMicroseconds.toFixed(1)]
}
const rows = [
  ['', 'narinfos/s', 'CPU µs each'],
  row(
    values.control ? 'without' : 'with metrics',
    rounds.map(({ measured }) => measured),
  ),
  row(
    'without',
    rounds.map(({ unmeasured }) => unmeasured),
  ),
]
console.log(formatTable(rows))

const verdict = (isReached: boolean): string => (isReached ? 'reached' : 'missed')
const tell = (what: string, value: number): void => {
  const reached = verdict(value >= rateGoal)
  console.log(`${what}: ${value.toFixed(3)} (goal ${rateGoal.toFixed(2)}: ${reached})`)
}
const ratio = (of: (round: Round) => number): number => median(rounds.map(of))
tell(
  'with / without',
  ratio(({ measured, unmeasured }) => measured.narinfosPerSecond / unmeasured.narinfosPerSecond),
)
tell(
  'by CPU time',
  ratio(({ measured, unmeasured }) => unmeasured.cpuMicroseconds / measured.cpuMicroseconds),
)
if (!values.control) {
  const ms = median(rounds.map(({ scraped }) => scraped.ms))
  const series = rounds.at(-1)?.scraped.series ?? 0
  const reached = verdict(ms <= scrapeGoalMs)
  console.log(`/metrics: ${series} series, ${ms.toFixed(1)} ms (goal ${scrapeGoalMs}: ${reached})`)
}
if (values.json !== undefined) await writeFile(values.json, JSON.stringify(rounds, null, 1))
