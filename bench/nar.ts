/**
 * How fast a NAR of 100 MB of noise is handed out that is in the cache: Weir against nginx's proxy_cache, over 1 and over 16
 * connections that are kept, in turn. The goals are 1.0 and 0.9 times what nginx does.
 * Run: npm run bench nar -- [--rounds N] [--seconds N] [--json FILE]
 */
import { writeFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { parseArgs } from 'node:util'
import { prepareLab } from '../test/lab/lab-caches.ts'
import { startWeir } from '../test/lab/weir-process.ts'
import { cpuSecondsOf } from './cpu-time.ts'
import { median } from './median.ts'
import { runLoad } from './nar/load.ts'
import { startNginx } from './nginx.ts'
import { formatTable } from './table.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
    json: { type: 'string' },
  },
})
const goals = new Map([
  [1, 1.0],
  [16, 0.9],
])

const lab = await prepareLab()
const narinfoName = `${basename(lab.paths.incompressible).slice(0, 32)}.narinfo`
await using upstream = await startNginx({ kind: 'static', root: lab.caches.xz })
await using nginx = await startNginx({ kind: 'cache', upstreamPort: upstream.port })
const upstreams = [{ name: 'cache', url: upstream.url, keys: [lab.publicKey] }]
const extra = { log: { level: 'info', format: 'json' } }
await using weir = await startWeir({ config: { upstreams, extra } })

type Sample = {
  readonly name: string
  readonly connections: number
  readonly bytesPerSecond: number
  readonly cpuSecondsPerGigabyte: number
}

/** Where a proxy hands out the NAR, which it then has. */
async function warmUrl(base: string): Promise<string> {
  const narinfo = await (await fetch(`${base}/${narinfoName}`)).text()
  const url = `${base}/${/^URL: (.*)$/m.exec(narinfo)?.[1] ?? ''}`
  const response = await fetch(url)
  if (!response.ok) throw new Error(`${url}: ${response.status}`)
  await response.bytes()
  return url
}

async function measure(
  name: string,
  proxy: { readonly pid: number },
  url: string,
  connections: number,
): Promise<Sample> {
  const seconds = Number(values.seconds)
  const before = await cpuSecondsOf(proxy.pid)
  const { bytesPerSecond } = await runLoad({ url, connections, seconds })
  const cpuSeconds = (await cpuSecondsOf(proxy.pid)) - before
  const gigabytes = (bytesPerSecond * seconds) / 1e9
  return { name, connections, bytesPerSecond, cpuSecondsPerGigabyte: cpuSeconds / gigabytes }
}

const proxies = [
  { name: 'nginx', proxy: nginx, url: await warmUrl(nginx.url) },
  { name: 'weir', proxy: weir, url: await warmUrl(weir.url) },
]
const samples: Sample[] = []
for (let round = 0; round < Number(values.rounds); round++) {
  for (const connections of goals.keys()) {
    for (const { name, proxy, url } of proxies) {
      samples.push(await measure(name, proxy, url, connections))
    }
  }
}

const of = (name: string, connections: number, pick: (sample: Sample) => number) =>
  median(
    samples
      .filter((sample) => sample.name === name && sample.connections === connections)
      .map(pick),
  )
const rate = (name: string, connections: number) =>
  of(name, connections, (sample) => sample.bytesPerSecond)
const rows = [...goals.keys()].flatMap((connections) =>
  proxies.map(({ name }) => [
    `${name}, ${connections} connections`,
    (rate(name, connections) / 1e6).toFixed(0),
    of(name, connections, (sample) => sample.cpuSecondsPerGigabyte).toFixed(2),
  ]),
)
console.log(formatTable([['', 'MB/s', 'CPU s a GB'], ...rows]))
for (const [connections, goal] of goals) {
  const ratio = rate('weir', connections) / rate('nginx', connections)
  const verdict = ratio >= goal ? 'reached' : 'missed'
  console.log(
    `weir / nginx, ${connections} connections: ${ratio.toFixed(2)} (goal ${goal.toFixed(2)}: ${verdict})`,
  )
}
if (values.json !== undefined) await writeFile(values.json, JSON.stringify(samples, null, 1))
