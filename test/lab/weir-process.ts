import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { collectLog, type ProcessLog } from './process-log.ts'
import { weirConfig, type WeirConfigOptions } from './weir-config.ts'

export type StartWeirOptions = {
  /** TOML text as it is, or what `weirConfig` takes but for the folders. */
  readonly config: string | Omit<WeirConfigOptions, 'cacheDir' | 'stateDir'>
  /** Folders that outlive this process, for `config` that is not text; temporary ones unless told. */
  readonly cacheDir?: string
  readonly stateDir?: string
  readonly env?: NodeJS.ProcessEnv
  /** The program; the repository's `src/main.ts` unless told. */
  readonly main?: string
  /** More arguments of Node's, before the program. */
  readonly nodeArgs?: readonly string[]
  /** How long it may take to listen, and to stop, before it is killed. */
  readonly timeoutMs?: number
}

/** A running Weir. */
export type WeirProcess = ProcessLog &
  AsyncDisposable & {
    /** Without a slash at the end. */
    readonly url: string
    readonly port: number
    readonly pid: number
    readonly configFile: string
    readonly cacheDir: string
    readonly stateDir: string
    /** Sends the signal (SIGTERM unless told) and waits for the end: the exit code, or null if a signal killed it. */
    readonly stop: (signal?: NodeJS.Signals) => Promise<number | null>
    /** Ends it at once, as a crash would. */
    readonly kill: () => Promise<void>
    /** Resident memory now, and the most there ever was. */
    readonly rssBytes: () => Promise<number>
    readonly peakRssBytes: () => Promise<number>
  }

const repository = resolve(import.meta.dirname, '../..')

async function readMemory(pid: number, field: 'VmRSS' | 'VmHWM'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024
}

/** Starts Weir and returns once it listens; rejects with its output if it ends, or does not listen in time. */
export async function startWeir(options: StartWeirOptions): Promise<WeirProcess> {
  const { config, env = {}, main = join(repository, 'src/main.ts'), timeoutMs = 30_000 } = options
  const dir = await mkdtemp(join(tmpdir(), 'weir-process-'))
  const { cacheDir = join(dir, 'cache'), stateDir = join(dir, 'state') } = options
  const configFile = join(dir, 'weir.toml')
  const toml = typeof config === 'string' ? config : weirConfig({ ...config, cacheDir, stateDir })
  await writeFile(configFile, toml)

  const args = [...(options.nodeArgs ?? []), main, 'serve', '--config', configFile]
  const child = spawn(process.execPath, args, {
    cwd: repository,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const killNow = () => {
    child.kill('SIGKILL')
  }
  // No Weir outlives its test, however that ends.
  process.once('exit', killNow)
  const exit = new Promise<number | null>((resolveExit, reject) => {
    child.once('error', reject)
    child.once('close', (code) => {
      process.off('exit', killNow)
      resolveExit(code)
    })
  })
  const inTime = async <T>(task: Promise<T>) => {
    const timer = setTimeout(killNow, timeoutMs)
    return task.finally(() => {
      clearTimeout(timer)
    })
  }
  const stop = (signal: NodeJS.Signals = 'SIGTERM') => {
    child.kill(signal)
    return inTime(exit)
  }
  const { logs, waitForLog } = collectLog(child)
  const listening = await inTime(waitForLog('server.listening')).catch(async (error: unknown) => {
    await rm(dir, { recursive: true, force: true })
    throw error
  })
  const url = new URL(String(listening['url']))
  const pid = child.pid ?? 0
  return {
    ...{ url: url.origin, port: Number(url.port), pid },
    ...{ configFile, cacheDir, stateDir, logs, waitForLog, stop },
    kill: async () => {
      await stop('SIGKILL')
    },
    rssBytes: () => readMemory(pid, 'VmRSS'),
    peakRssBytes: () => readMemory(pid, 'VmHWM'),
    [Symbol.asyncDispose]: async () => {
      await stop('SIGKILL')
      await rm(dir, { recursive: true, force: true })
    },
  }
}
