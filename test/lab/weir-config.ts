import { stringify } from 'smol-toml'

type Table = Readonly<Record<string, unknown>>

export type WeirUpstream = {
  readonly name: string
  readonly url: string
  readonly keys: readonly string[]
}

export type WeirConfigOptions = {
  readonly cacheDir: string
  readonly stateDir: string
  /** Each may have more settings than the three that it must have. */
  readonly upstreams: readonly (WeirUpstream & Table)[]
  /** More settings by table, `{ cache: { maxBytes: 1 } }`; they win over what the lab sets. */
  readonly extra?: Table
}

function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Renders Weir's configuration as TOML: on a free port, logging everything as JSON. */
export function weirConfig(options: WeirConfigOptions): string {
  const { cacheDir, stateDir, upstreams, extra = {} } = options
  const config: Record<string, unknown> = {
    server: { listen: '127.0.0.1:0' },
    cache: { dir: cacheDir },
    state: { dir: stateDir },
    log: { level: 'debug', format: 'json' },
    upstream: upstreams,
  }
  for (const [name, value] of Object.entries(extra)) {
    const base = config[name]
    config[name] = isTable(base) && isTable(value) ? { ...base, ...value } : value
  }
  return stringify(config)
}
