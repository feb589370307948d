import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { prepareLab } from '../lab/lab-caches.ts'
import { createNixClient, type NixClient } from '../lab/nix-client.ts'
import { startUpstream } from '../lab/upstream-server.ts'
import { startWeir } from '../lab/weir-process.ts'
import { nars } from './fault-case.ts'

/**
 * A client with `fallback` builds what Weir cannot fetch, for its only upstream gives no NARs; without it the command fails. Returns what
 * is not so. It is a NAR that fails: where a narinfo does, Nix 2.8 aborts under `fallback`, whatever its substituter is.
 */
export async function tryFallback(seed: number): Promise<readonly string[]> {
  const lab = await prepareLab()
  const root = await mkdtemp(join(tmpdir(), 'weir-fallback-'))
  await using client = await createNixClient({ lab })
  const name = `fallback-${seed}-${process.pid}`
  // In the machine's own store: without privileges there is no building for another one.
  const path = await mustSay(client, build(name, []))
  try {
    const cache = `file://${root}?secret-key=${lab.secretKeyFile}`
    await mustSay(client, ['nix', 'copy', '--to', cache, path])
    await mustSay(client, ['nix-store', '--delete', path])
    await using upstream = await startUpstream({
      root,
      faults: [{ path: nars, action: { kind: 'status', status: 500 } }],
    })
    await using weir = await startWeir({
      config: { upstreams: [{ name: 'lab', url: upstream.url, keys: [lab.publicKey] }] },
      timeoutMs: 120_000,
    })
    const trusted = ['--option', 'trusted-public-keys', lab.publicKey]
    const from = ['--option', 'substituters', weir.url, ...trusted]
    const patience = ['--option', 'download-attempts', '1']
    const options = [...from, ...patience, '--option', 'fallback']
    const without = await client.run(build(name, [...options, 'false']))
    const withIt = await client.run(build(name, [...options, 'true']))
    return [
      ...(without.code === 0 ? ['without fallback the command succeeded'] : []),
      ...(withIt.code === 0 ? [] : [`with fallback the command failed: ${withIt.stderr}`]),
    ]
  } finally {
    await client.run(['nix-store', '--delete', path])
    await rm(root, { recursive: true, force: true })
  }
}

function build(name: string, options: readonly string[]): readonly [string, ...string[]] {
  const builder = 'builder = "/bin/sh"; args = [ "-c" "echo built > $out" ];'
  const system = 'system = builtins.currentSystem;'
  const expression = `derivation { name = "${name}"; ${system} ${builder} }`
  return ['nix-build', '--no-out-link', ...options, '-E', expression]
}

async function mustSay(
  client: NixClient,
  command: readonly [string, ...string[]],
): Promise<string> {
  const { code, stdout, stderr } = await client.run(command)
  if (code !== 0) throw new Error(`${command.join(' ')}: ${stderr}`)
  return stdout.trim()
}
