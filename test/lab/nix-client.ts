import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Lab } from './lab-caches.ts'
import { createNixEnvironment, dumpSha256 } from './nix-environment.ts'
import { type CommandOptions, type CommandResult, mustRun, runCommand } from './run-command.ts'

export type NixClientOptions = {
  readonly lab: Lab
  /** What the client trusts, `name:base64` each; the lab's key unless told. */
  readonly publicKeys?: readonly string[]
}

export type RealiseOptions = {
  readonly substituters: readonly string[]
  /** More arguments, for instance `['--option', 'narinfo-cache-negative-ttl', '0']`. */
  readonly extraOptions?: readonly string[]
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/** A real Nix client with a store, settings and caches of its own. */
export type NixClient = AsyncDisposable & {
  readonly lab: Lab
  /** The root of its store: a path P of the store is the file `storeDir + P`. */
  readonly storeDir: string
  readonly env: NodeJS.ProcessEnv
  readonly publicKeys: readonly string[]
  /** `nix-store --realise`: code 0 once all paths, with their closures, are in its store. */
  readonly realise: (paths: readonly string[], options: RealiseOptions) => Promise<CommandResult>
  /** `nix copy --from`. */
  readonly copyFrom: (url: string, paths: readonly string[]) => Promise<CommandResult>
  /** Any command in its environment: `run(['nix', 'store', 'ping', '--store', url])`. */
  readonly run: (
    command: readonly [string, ...string[]],
    options?: CommandOptions,
  ) => Promise<CommandResult>
  readonly has: (path: string) => Promise<boolean>
  /** The SHA-256, in hex, of the NAR of a path as it is in its store; throws if it is not. */
  readonly narSha256: (path: string) => Promise<string>
  /** The signatures that it keeps with a path. */
  readonly sigs: (path: string) => Promise<readonly string[]>
  /** `nix store verify`, with closures: contents and signatures. */
  readonly verify: (paths: readonly string[]) => Promise<CommandResult>
  /** Empties the client's disk cache, where narinfos and absences are remembered. */
  readonly forgetNarinfos: () => Promise<void>
  /** Empties its store, and lets it remember its narinfos. */
  readonly forgetPaths: () => Promise<void>
  /** Empties its store and its disk cache. */
  readonly wipe: () => Promise<void>
}

async function removeStore(dir: string): Promise<void> {
  // Store paths are read-only, folders too.
  await runCommand('chmod', ['-R', 'u+w', dir])
  await rm(dir, { recursive: true, force: true })
}

/** Makes a client with an empty store. */
export async function createNixClient(options: NixClientOptions): Promise<NixClient> {
  const { lab, publicKeys = [lab.publicKey] } = options
  const dir = await mkdtemp(join(tmpdir(), 'weir-client-'))
  const env = await createNixEnvironment(dir)
  const storeDir = join(dir, 'store')
  const trust = ['--option', 'trusted-public-keys', publicKeys.join(' ')]
  const inStore = ['--store', storeDir]
  const forgetNarinfos = () => rm(join(dir, 'home', '.cache'), { recursive: true, force: true })
  const remove = () => removeStore(dir)
  return {
    lab,
    storeDir,
    env,
    publicKeys,
    realise: (paths, { substituters, extraOptions = [], timeoutMs, signal }) => {
      const from = ['--option', 'substituters', substituters.join(' ')]
      const args = [...inStore, ...trust, ...from, ...extraOptions, '-j', '16', '-r', ...paths]
      const limits = { ...(timeoutMs !== undefined && { timeoutMs }), ...(signal && { signal }) }
      return runCommand('nix-store', args, { env, ...limits })
    },
    copyFrom: (url, paths) =>
      runCommand('nix', ['copy', '--from', url, '--to', storeDir, ...trust, ...paths], { env }),
    run: ([command, ...args], commandOptions = {}) =>
      runCommand(command, args, { env, ...commandOptions }),
    has: async (path) => {
      const { code } = await runCommand('nix-store', [...inStore, '--check-validity', path], {
        env,
      })
      return code === 0
    },
    narSha256: (path) => dumpSha256(storeDir + path, env),
    sigs: async (path) => {
      const json = await mustRun('nix', ['path-info', ...inStore, '--json', path], { env })
      const infos = JSON.parse(json) as readonly { readonly signatures?: readonly string[] }[]
      return infos.flatMap((info) => info.signatures ?? [])
    },
    verify: (paths) =>
      runCommand('nix', ['store', 'verify', ...inStore, ...trust, '-r', ...paths], { env }),
    forgetNarinfos,
    forgetPaths: () => removeStore(storeDir),
    wipe: async () => {
      await Promise.all([removeStore(storeDir), forgetNarinfos()])
    },
    [Symbol.asyncDispose]: remove,
  }
}
