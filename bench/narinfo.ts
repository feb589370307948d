/**
 * How many narinfos a second a core hands out that are known: Weir against nginx's proxy_cache with one worker, asked in turn for 5,000
 * paths over 25 connections that are kept. The goal is 1.0 times nginx's rate, in the end 2.0 times.
 * Run: npm run bench narinfo -- [--rounds N] [--seconds N] [--json FILE]
 */
import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { startWeir } from '../test/lab/weir-process.ts'
import { median } from './median.ts'
import { startMadeNarinfos } from './narinfo/made-narinfos.ts'
import { askAll, measure, type Sample } from './narinfo/measure.ts'
import { startNginx } from './nginx.ts'
import { formatTable } from './table.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    json: { type: 'string' },
  },
})
const goal = 1.0

await using upstream = await startMadeNarinfos(5000)
const { hashes } = upstream
const upstreamPort = Number(new URL(upstream.url).port)
await using nginx = await startNginx({ kind: 'cache', upstreamPort, workers: 1 })
const upstreams = [{ name: 'made', url: upstream.url, keys: [upstream.publicKey] }]
const extra = { log: { level: 'info', format: 'json' } }
await using weir = await startWeir({ config: { upstreams, extra } })

const proxies = [
  { name: 'nginx', ...nginx },
  { name: 'weir', ...weir },
]

const samples = new Map<string, Sample[]>(proxies.map(({ name }) => [name, []]))
for (const proxy of proxies) {
  await askAll(proxy, hashes)
  await measure(proxy, hashes, 1)
}
for (let round = 0; round < Number(values.rounds); round += 1) {
  for (const proxy of proxies) {
    samples.get(proxy.name)?.push(await measure(proxy, hashes, Number(values.seconds)))
  }
}

const middle = (name: string, of: (sample: Sample) => number): number =>
  median((samples.get(name) ?? []).map(of))
const rate = ({ narinfosPerSecond }: Sample): number => narinfosPerSecond
const cpu = ({ cpuMicroseconds }: Sample): number => cpuMicroseconds
console.log(
  formatTable([
    ['', 'narinfos/s', 'CPU µs each'],
    ...proxies.map(({ name }) => [
      name,
      middle(name, rate).toFixed(0),
      middle(name, cpu).toFixed(1),
    ]),
  ]),
)
const byRate = middle('weir', rate) / middle('nginx', rate)
const byCpu = middle('nginx', cpu) / middle('weir', cpu)
const verdict = byRate >= goal ? 'reached' : 'missed'
console.log(`weir / nginx: ${byRate.toFixed(2)} (goal ${goal.toFixed(2)}: ${verdict})`)
console.log(`by CPU time: ${byCpu.toFixed(2)}`)
if (values.json !== undefined)
  await writeFile(values.json, JSON.stringify(Object.fromEntries(samples), null, 1))
