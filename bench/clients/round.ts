import { type WeirProcess, startWeir } from '../../test/lab/weir-process.ts'
import type { Closure } from '../closure/closure.ts'
import { cpuSecondsOf } from '../cpu-time.ts'
import { type Nginx, startNginx } from '../nginx.ts'
import { type Substitution, substitute } from './substitute.ts'

/** What a client substitutes from: the upstream itself, or a proxy with an empty or a full cache. */
export const caseNames = ['straight', 'cold nginx', 'warm nginx', 'cold weir', 'warm weir'] as const
export type CaseName = (typeof caseNames)[number]

export type Sample = Substitution & {
  readonly name: CaseName
  readonly proxyCpuSeconds: number
  readonly upstreamBytes: number
}

export type RoundOptions = {
  readonly closure: Closure
  /** Serves the closure; its log counts what is taken from it. */
  readonly upstream: Nginx
  /** How the others reach it: its own port, or that of something between. */
  readonly upstreamPort: number
  readonly maxJobs: number | null
  /** Whether to measure caches that are full as well. */
  readonly warm: boolean
  readonly weirSettings: Readonly<Record<string, unknown>>
}

const timeoutMs = 600_000

/** Measures each case once; which of straight, nginx and Weir goes first changes with the round's number. */
export async function runRound(options: RoundOptions, round: number): Promise<readonly Sample[]> {
  const parts = [runStraight, runNginx, runWeir]
  const samples: Sample[] = []
  for (let index = 0; index < parts.length; index++) {
    const run = parts[(index + round) % parts.length]
    if (run !== undefined) samples.push(...(await run(options)))
  }
  return samples
}

async function runStraight(options: RoundOptions): Promise<readonly Sample[]> {
  const url = `http://127.0.0.1:${options.upstreamPort}`
  return [await measure(options, { name: 'straight', url, pid: null })]
}

async function runNginx(options: RoundOptions): Promise<readonly Sample[]> {
  await using proxy = await startNginx({ kind: 'cache', upstreamPort: options.upstreamPort })
  return await measureProxy(options, proxy, ['cold nginx', 'warm nginx'])
}

async function runWeir(options: RoundOptions): Promise<readonly Sample[]> {
  const { closure, upstreamPort } = options
  const url = `http://127.0.0.1:${upstreamPort}`
  const upstreams = [{ name: 'cache', url, keys: [closure.publicKey] }]
  const extra = { log: { level: 'info', format: 'json' }, ...options.weirSettings }
  await using weir = await startWeir({ config: { upstreams, extra } })
  return await measureProxy(options, weir, ['cold weir', 'warm weir'])
}

async function measureProxy(
  options: RoundOptions,
  proxy: Pick<WeirProcess, 'url' | 'pid'>,
  [cold, warm]: readonly [CaseName, CaseName],
): Promise<readonly Sample[]> {
  const samples = [await measure(options, { name: cold, ...proxy })]
  if (options.warm) samples.push(await measure(options, { name: warm, ...proxy }))
  return samples
}

type Measured = {
  readonly name: CaseName
  readonly url: string
  /** The proxy's process; null where there is none. */
  readonly pid: number | null
}

async function measure(options: RoundOptions, { name, url, pid }: Measured): Promise<Sample> {
  const { closure, upstream, maxJobs } = options
  const read = async () => ({
    cpu: pid === null ? 0 : await cpuSecondsOf(pid),
    bytes: await upstream.bytesSent(),
  })
  const before = await read()
  const substitution = await substitute({ closure, url, maxJobs, timeoutMs })
  const after = await read()
  return {
    name,
    ...substitution,
    proxyCpuSeconds: after.cpu - before.cpu,
    upstreamBytes: after.bytes - before.bytes,
  }
}
