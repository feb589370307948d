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
    rounds: { type: 'string', default: '7' },
    seconds: { type: 'string', default: '3' },
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
const cases = [
  { name: 'with metrics', weir: measuring },
  { name: 'without', weir: plain },
] as const

type Sample = {
  readonly name: string
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

async function measure(name: string, { url, pid }: WeirProcess): Promise<Sample> {
  const before = await cpuSecondsOf(pid)
  const seconds = Number(values.seconds)
  const load = await runLoad({ url, hashes: upstream.hashes, connections, seconds })
  const cpuSeconds = (await cpuSecondsOf(pid)) - before
  return {
    name,
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

const samples: Sample[] = []
for (let round = 0; round < Number(values.rounds); round += 1) {
  // Who goes first changes, and one round of each that warms up is thrown away.
  const order = round % 2 === 0 ? cases : cases.toReversed()
  for (const { name, weir } of order) {
    const sample = await measure(name, weir)
    if (round > 0) samples.push(sample)
  }
}

const of = (name: string, pick: (sample: Sample) => number) =>
  median(samples.filter((sample) => sample.name === name).map(pick))
const rates = cases.map(({ name }) => of(name, (sample) => sample.narinfosPerSecond))
const cpuTimes = cases.map(({ name }) => of(name, (sample) => sample.cpuMicroseconds))
const rows = cases.map(({ name }, index) => [
  name,
  (rates[index] ?? NaN).toFixed(0),
  (cpuTimes[index] ?? NaN).toFixed(1),
])
console.log(formatTable([['', 'narinfos/s', 'CPU µs each'], ...rows]))
const rate = (rates[0] ?? NaN) / (rates[1] ?? NaN)
const perCpu = (cpuTimes[1] ?? NaN) / (cpuTimes[0] ?? NaN)
const verdict = (isReached: boolean): string => (isReached ? 'reached' : 'missed')
const rateVerdict = verdict(rate >= rateGoal)
console.log(`with / without: ${rate.toFixed(3)} (goal ${rateGoal.toFixed(2)}: ${rateVerdict})`)
console.log(
  `by CPU time: ${perCpu.toFixed(3)} (goal ${rateGoal.toFixed(2)}: ${verdict(perCpu >= rateGoal)})`,
)

const scraped: { ms: number; series: number }[] = []
for (let count = 0; count < scrapes; count += 1) scraped.push(await scrape(measuring))
const scrapeMs = median(scraped.map(({ ms }) => ms))
const lines = scraped.at(-1)?.series ?? 0
console.log(
  `/metrics: ${lines} series, ${scrapeMs.toFixed(1)} ms (goal ${scrapeGoalMs}: ${verdict(scrapeMs <= scrapeGoalMs)})`,
)
if (values.json !== undefined) await writeFile(values.json, JSON.stringify(samples, null, 1))
