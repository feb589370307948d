import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createNixEnvironment } from '../../test/lab/nix-environment.ts'
import { mustRun, runCommand } from '../../test/lab/run-command.ts'
import type { Closure } from '../closure/closure.ts'
import { cpuSecondsOfEndedChildren } from '../cpu-time.ts'

export type SubstituteOptions = {
  readonly closure: Closure
  readonly url: string
  /** Nix's `max-jobs`, which up to 2.15 bounds how many paths are substituted at a time; null leaves its default. */
  readonly maxJobs: number | null
  readonly timeoutMs: number
}

export type Substitution = { readonly wallSeconds: number; readonly clientCpuSeconds: number }

/** A real Nix client with an empty store in memory, which has never asked anybody, substitutes a closure; throws unless all of it arrived. */
export async function substitute(options: SubstituteOptions): Promise<Substitution> {
  const { closure, url, maxJobs, timeoutMs } = options
  const dir = await mkdtemp(join(await memoryFolder(), 'weir-bench-client-'))
  try {
    const env = await createNixEnvironment(dir)
    const store = ['--store', join(dir, 'store')]
    const settings = { substituters: url, 'trusted-public-keys': closure.publicKey }
    const args = Object.entries(settings).flatMap(([key, value]) => ['--option', key, value])
    if (maxJobs !== null) args.push('--max-jobs', String(maxJobs))
    const cpuBefore = await cpuSecondsOfEndedChildren()
    const began = performance.now()
    await mustRun('nix-store', [...store, ...args, '--realise', ...closure.roots], {
      env,
      timeoutMs,
    })
    const wallSeconds = (performance.now() - began) / 1000
    const clientCpuSeconds = (await cpuSecondsOfEndedChildren()) - cpuBefore
    await checkArrived(closure, store, env)
    return { wallSeconds, clientCpuSeconds }
  } finally {
    // Store paths are read-only, folders too.
    await runCommand('chmod', ['-R', 'u+w', dir])
    await rm(dir, { recursive: true, force: true })
  }
}

async function checkArrived(closure: Closure, store: readonly string[], env: NodeJS.ProcessEnv) {
  await mustRun('nix-store', [...store, '--check-validity', ...closure.roots], { env })
  const reached = await mustRun('nix-store', [...store, '-qR', ...closure.roots], { env })
  const count = reached.split('\n').length
  if (closure.pathCount !== null && count !== closure.pathCount) {
    throw new Error(`${count} paths arrived, and not ${closure.pathCount}`)
  }
}

/** Where files live in memory: else the disk's speed is measured too. */
async function memoryFolder(): Promise<string> {
  const isThere = await stat('/dev/shm').catch(() => null)
  return isThere === null ? tmpdir() : '/dev/shm'
}
