import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Explanation } from '../../src/admin/explanation.ts'
import type { Offer } from './forged-offer.ts'
import type { LogRecord } from './process-log.ts'
import { rawGet, type RawGetOptions } from './raw-client.ts'
import { weirConfig, type WeirConfigOptions } from './weir-config.ts'
import type { WeirProcess } from './weir-process.ts'

export type NarinfoAnswer = {
  readonly status: number
  /** What X-Weir-Verdict and X-Weir-Would-Refuse say. */
  readonly verdict: string | undefined
  readonly wouldRefuse: string | undefined
  readonly text: string
  /** The NAR's whole URL, and the names of the keys that signed; empty where there is no narinfo. */
  readonly narUrl: string
  readonly signers: readonly string[]
}

/** Asks for a path's narinfo. */
export async function askNarinfo(
  weir: Pick<WeirProcess, 'url'>,
  { narinfo }: Offer,
  options: RawGetOptions = {},
): Promise<NarinfoAnswer> {
  const { status, headers, body } = await rawGet(
    `${weir.url}/${narinfo.storePath.hash}.narinfo`,
    options,
  )
  const text = body.toString()
  const url = /^URL: (.*)$/m.exec(text)?.[1]
  return {
    ...{ status, text },
    verdict: headers['x-weir-verdict']?.toString(),
    wouldRefuse: headers['x-weir-would-refuse']?.toString(),
    narUrl: url === undefined ? '' : `${weir.url}/${url}`,
    signers: [...text.matchAll(/^Sig: ([^:]*):/gm)].map(([, name = '']) => name),
  }
}

/** Asks, as the operator, why a path is answered as it is; live where the upstreams are to be asked for it. */
export async function askWhy(
  weir: WeirProcess,
  { narinfo }: Offer,
  { isLive = false } = {},
): Promise<Explanation> {
  const token = (await readFile(join(weir.stateDir, 'admin-token'), 'utf8')).trim()
  const path = `/api/v1/explain/${narinfo.storePath.hash}${isLive ? '?live' : ''}`
  const { status, body } = await rawGet(weir.url + path, {
    headers: { authorization: `Bearer ${token}` },
  })
  if (status !== 200) throw new Error(`explain: status ${status}\n${body.toString()}`)
  return JSON.parse(body.toString()) as Explanation
}

/**
 * The value of a metric, by its name and labels as they are exposed (`name{label="value"}`), or by its name alone the sum over its labels; 0 where
 * it is not there yet.
 */
export async function askMetric(weir: WeirProcess, metric: string): Promise<number> {
  const { body } = await rawGet(`${weir.url}/metrics`)
  const lines = body
    .toString()
    .split('\n')
    .filter((line) => line.startsWith(`${metric} `) || line.startsWith(`${metric}{`))
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}

/** Weir's own public key, `name:base64`. */
export async function askPublicKey(weir: WeirProcess): Promise<string> {
  return (await rawGet(`${weir.url}/public-key`)).body.toString().trim()
}

/** Rewrites a running Weir's configuration, sends SIGHUP, and waits until it has taken or refused it: the log record says so. */
export async function reloadWeir(
  weir: WeirProcess,
  config: Omit<WeirConfigOptions, 'cacheDir' | 'stateDir'> | string,
  outcome: 'settings.reloaded' | 'settings.refused' = 'settings.reloaded',
): Promise<LogRecord> {
  const { cacheDir, stateDir } = weir
  const toml = typeof config === 'string' ? config : weirConfig({ ...config, cacheDir, stateDir })
  await writeFile(weir.configFile, toml)
  const earlier = new Set(weir.logs)
  process.kill(weir.pid, 'SIGHUP')
  const outcomes = ['settings.reloaded', 'settings.refused']
  const heard = outcomes.map((event) => weir.waitForLog(event, (record) => !earlier.has(record)))
  const record = await Promise.race(heard)
  if (record.event !== outcome) throw new Error(`in place of ${outcome}: ${record.text}`)
  return record
}
