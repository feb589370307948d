import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { mustRun } from './run-command.ts'

const nixConf = `build-users-group =
sandbox = false
experimental-features = nix-command flakes ca-derivations
substituters =
trusted-public-keys =
require-sigs = true
`

/**
 * Makes a folder the home of a single-user Nix: own settings, own caches, no daemon, no sandbox.
 * Returns the environment to run its commands with.
 */
export async function createNixEnvironment(dir: string): Promise<NodeJS.ProcessEnv> {
  const home = join(dir, 'home')
  const etc = join(dir, 'etc')
  await Promise.all([mkdir(home, { recursive: true }), mkdir(etc, { recursive: true })])
  await writeFile(join(etc, 'nix.conf'), nixConf)
  const inherited = Object.entries(process.env).filter(
    ([name]) => !name.startsWith('NIX_') && !name.startsWith('XDG_') && !/_proxy$/i.test(name),
  )
  return {
    ...Object.fromEntries(inherited),
    HOME: home,
    XDG_CACHE_HOME: join(home, '.cache'),
    NIX_CONF_DIR: etc,
    NIX_REMOTE: '',
    no_proxy: '127.0.0.1,localhost',
  }
}

/** The SHA-256, in hex, of the NAR of a file tree, as the real `nix-store --dump` writes it. */
export async function dumpSha256(path: string, env: NodeJS.ProcessEnv): Promise<string> {
  const hash = createHash('sha256')
  await mustRun('nix-store', ['--dump', path], {
    env,
    onStdout: (chunk) => {
      hash.update(chunk)
    },
  })
  return hash.digest('hex')
}
