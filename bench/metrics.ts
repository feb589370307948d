/**
 * What it costs to measure: narinfos a second, and CPU time of one, of a Weir with all its metrics and of one without, asked in turn for
 * 5,000 paths that they know, over 25 connections that are kept; and how long `/metrics` takes after that. The goals are 0.95 times
 * the rate without, and 20 ms. Where the machine is busy with other things, the CPU time is what to go by.
 * Run: npm run bench metrics -- [--rounds N] [--seconds N] [--json FILE]
 */
import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { startWeir, type WeirProcess } from '../test/lab/weir-process.ts'
import { cpuSecondsOf } from './cpu-time.ts'
import { median } from './median.ts'
import { runLoad } from './narinfo/load.ts'
import { startMadeNarinfos } from './narinfo/made-narinfos.ts'
import { formatTable } from './table.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '16' },
    seconds: { type: 'string', default: '1' },
    json: { type: 'string' },
  },
})
const paths = 5000
const connections = 25
const scrapes = 20
const rateGoal = 0.95
const scrapeGoalMs = 20

await using upstream = await startMadeNarinfos(paths)
await using measuring = await start(true)
await using plain = await start(false)
type Sample = {
  readonly narinfosPerSecond: number
  readonly cpuMicroseconds: number
}

async function start(metrics: boolean): Promise<WeirProcess> {
  const upstreams = [{ name: 'made', url: upstream.url, keys: [upstream.publicKey] }]
  const extra = { log: { level: 'info', format: 'json' }, server: { metrics } }
  const weir = await startWeir({ config: { upstreams, extra } })
  for (let first = 0; first < paths; first += 100) {
    const some = upstream.hashes.slice(first, first + 100)
    await Promise.all(some.map((hash) => askNarinfo(weir, hash)))
  }
  return weir
}

async function askNarinfo(weir: WeirProcess, hash: string): Promise<void> {
  const response = await fetch(`${weir.url}/${hash}.narinfo`)
  await response.bytes()
  if (!response.ok) throw new Error(`${hash}: ${response.status}`)
}

async function measure({ url, pid }: WeirProcess): Promise<Sample> {
  const before = await cpuSecondsOf(pid)
  const seconds = Number(values.seconds)
  const load = await runLoad({ url, hashes: upstream.hashes, connections, seconds })
  const cpuSeconds = (await cpuSecondsOf(pid)) - before
  return {
    narinfosPerSecond: load.answers / load.seconds,
    cpuMicroseconds: (cpuSeconds / load.answers) * 1e6,
  }
}

/** Milliseconds until `/metrics` was there, and its lines. */
async function scrape({ url }: WeirProcess): Promise<{ ms: number; series: number }> {
  const began = performance.now()
  const text = await (await fetch(`${url}/metrics`)).text()
  const series = text.split('\n').filter((line) => line !== '' && !line.startsWith('#')).length
  return { ms: performance.now() - began, series }
}

/** One after the other, so that what else the machine does is the same for both; who goes first changes. */
async function measureBoth(round: number): Promise<{ measured: Sample; unmeasured: Sample }> {
  if (round % 2 === 0) {
    const measured = await measure(measuring)
    return { measured, unmeasured: await measure(plain) }
  }
  const unmeasured = await measure(plain)
  return { measured: await measure(measuring), unmeasured }
}

const rounds: Awaited<ReturnType<typeof measureBoth>>[] = []
// The first one warms up.
for (let round = 0; round <= Number(values.rounds); round += 1) {
  const both = await measureBoth(round)
  if (round > 0) rounds.push(both)
}

const measured = rounds.map((round) => round.measured)
const unmeasured = rounds.map((round) => round.unmeasured)
const rate = (samples: readonly Sample[]): number =>
  median(samples.map(({ narinfosPerSecond }) => narinfosPerSecond))
/** The lower quartile: what else the machine does only adds to it. */
const cpuTime = (samples: readonly Sample[]): number => {
  const sorted = samples.map(({ cpuMicroseconds }) => cpuMicroseconds).sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 4)] ?? NaN
}
const row = (name: string, samples: readonly Sample[]): readonly string[] => [
  ...[name, rate(samples).toFixed(0), cpuTime(samples).toFixed(1)],
]
const heads = ['', 'narinfos/s', 'CPU µs each']
console.log(formatTable([heads, row('with metrics', measured), row('without', unmeasured)]))

const verdict = (isReached: boolean): string => (isReached ? 'reached' : 'missed')
const tell = (what: string, ratio: number): void => {
  const reached = verdict(ratio >= rateGoal)
  console.log(`${what}: ${ratio.toFixed(3)} (goal ${rateGoal.toFixed(2)}: ${reached})`)
}
const rateRatios = rounds.map(
  (round) => round.measured.narinfosPerSecond / round.unmeasured.narinfosPerSecond,
)
tell('with / without', median(rateRatios))
tell('by CPU time', cpuTime(unmeasured) / cpuTime(measured))

const scraped: { ms: number; series: number }[] = []
for (let count = 0; count < scrapes; count += 1) scraped.push(await scrape(measuring))
const scrapeMs = median(scraped.map(({ ms }) => ms))
const lines = scraped.at(-1)?.series ?? 0
console.log(
  `/metrics: ${lines} series, ${scrapeMs.toFixed(1)} ms (goal ${scrapeGoalMs}: ${verdict(scrapeMs <= scrapeGoalMs)})`,
)
if (values.json !== undefined) await writeFile(values.json, JSON.stringify(rounds, null, 1))
