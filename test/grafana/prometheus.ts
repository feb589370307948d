import { spawn } from 'node:child_process'
import { access, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { stringify } from 'yaml'
import { z } from 'zod'
import { createWatch } from '../lab/watch.ts'

const repository = resolve(import.meta.dirname, '../..')
const unpacked = join(repository, 'node_modules/.cache/prometheus/usr/bin')

/** The alerts and the configuration that come with Weir. */
export const prometheusDir = join(repository, 'grafana/prometheus')

/** The program `prometheus` or `promtool`: the one that scripts/install-prometheus.sh unpacked, or else the machine's own. */
export async function programOf(name: 'prometheus' | 'promtool'): Promise<string> {
  const own = join(unpacked, name)
  return access(own).then(
    () => own,
    () => name,
  )
}

const samples = z.array(z.tuple([z.number(), z.string()]))
const series = z.object({
  metric: z.record(z.string(), z.string()),
  value: samples.element.optional(),
  values: samples.optional(),
})
const answer = z.object({ data: z.object({ result: z.array(series) }) })
const names = z.object({ data: z.array(z.string()) })
/** A time series of an answer: its labels, and its samples as [seconds since 1970, value]. */
export type Series = {
  readonly labels: Readonly<Record<string, string>>
  readonly samples: readonly (readonly [number, number])[]
}

/** A stretch of time, in seconds since 1970. */
export type Stretch = { readonly from: number; readonly to: number }

/** A Prometheus that scrapes each second, and has Weir's alerts. */
export type Prometheus = AsyncDisposable & {
  readonly query: (expr: string, at: number) => Promise<readonly Series[]>
  /** Asked for each second. */
  readonly queryRange: (expr: string, stretch: Stretch) => Promise<readonly Series[]>
  readonly labelValues: (metric: string, label: string) => Promise<readonly string[]>
  /** Waits until all targets were scraped from now on; when this one was, in seconds since 1970. */
  readonly scraped: (target: string) => Promise<number>
}

/** Starts a Prometheus on a free port, and returns once it answers. `targets` are `HOST:PORT`. */
export async function startPrometheus(targets: readonly string[]): Promise<Prometheus> {
  const dir = await mkdtemp(join(tmpdir(), 'weir-prometheus-'))
  const port = await freePort()
  const config = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: [join(prometheusDir, 'rules.yml')],
    scrape_configs: [{ job_name: 'weir', static_configs: [{ targets }] }],
  }
  await writeFile(join(dir, 'prometheus.yml'), stringify(config))
  const ended = await run(await programOf('prometheus'), [
    `--config.file=${join(dir, 'prometheus.yml')}`,
    `--storage.tsdb.path=${join(dir, 'data')}`,
    `--web.listen-address=127.0.0.1:${port}`,
  ])
  const ask = async (path: string, parameters: Readonly<Record<string, string>>) => {
    const url = `http://127.0.0.1:${port}/api/v1/${path}?${new URLSearchParams(parameters).toString()}`
    const response = await fetch(url)
    if (!response.ok) throw new Error(`${path}: ${await response.text()}`)
    return response.json()
  }
  const query = async (expr: string, at: number) =>
    read(await ask('query', { query: expr, time: at.toFixed(3) }))
  return {
    query,
    queryRange: async (expr, { from, to }) =>
      read(
        await ask('query_range', {
          ...{ query: expr, step: '1', start: from.toFixed(3), end: to.toFixed(3) },
        }),
      ),
    labelValues: async (metric, label) =>
      names.parse(await ask(`label/${label}/values`, { 'match[]': metric })).data,
    scraped: async (target) => {
      const since = Date.now() / 1000
      for (;;) {
        const last = await query('timestamp(weir_build_info)', Date.now() / 1000)
        const times = new Map(
          last.map(({ labels, samples: [sample] }) => [labels['instance'], sample?.[1] ?? 0]),
        )
        if (targets.every((each) => (times.get(each) ?? 0) > since)) return times.get(target) ?? NaN
        await delay(100)
      }
    },
    [Symbol.asyncDispose]: async () => {
      await ended()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

function read(json: unknown): readonly Series[] {
  return answer.parse(json).data.result.map(({ metric, value, values }) => ({
    labels: metric,
    samples: (values ?? (value ? [value] : [])).map(([at, text]) => [at, Number(text)] as const),
  }))
}

/** Runs it until it says that it is ready; returns what ends it. */
async function run(program: string, args: readonly string[]): Promise<() => Promise<void>> {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  const kill = () => {
    child.kill('SIGKILL')
  }
  process.once('exit', kill)
  const said: string[] = []
  const watch = createWatch()
  let isOver = false
  const closed = new Promise<void>((resolveClosed) => {
    const close = () => {
      isOver = true
      process.off('exit', kill)
      watch.notify()
      resolveClosed()
    }
    child.once('error', close).once('close', close)
  })
  createInterface({ input: child.stderr }).on('line', (line) => {
    said.push(line)
    watch.notify()
  })
  await watch.until(() => {
    if (isOver) throw new Error(`Prometheus ended:\n${said.join('\n')}`)
    return said.some((line) => line.includes('Server is ready to receive web requests'))
  })
  return () => {
    kill()
    return closed
  }
}

/** A port that was free a moment ago: Prometheus does not say which one it took by itself. */
function freePort(): Promise<number> {
  return new Promise((resolvePort, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen({ host: '127.0.0.1', port: 0 }, () => {
      const { port } = server.address() as AddressInfo
      server.close(() => {
        resolvePort(port)
      })
    })
  })
}
