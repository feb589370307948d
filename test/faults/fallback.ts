import { prepareLab } from '../lab/lab-caches.ts'
import { createNixClient } from '../lab/nix-client.ts'
import { startUpstream } from '../lab/upstream-server.ts'
import { startWeir } from '../lab/weir-process.ts'

/** What came of it: empty where all was as it must be. */
export type Fallback = { readonly wrong: readonly string[] }

/** A client with `fallback` builds what Weir cannot tell about, for its only upstream refuses connections; without it the build fails. */
export async function tryFallback(seed: number): Promise<Fallback> {
  const lab = await prepareLab()
  const keys = [lab.publicKey]
  await using upstream = await startUpstream({ root: lab.caches.xz })
  await upstream.stop()
  await using weir = await startWeir({
    config: { upstreams: [{ name: 'dead', url: upstream.url, keys }] },
    timeoutMs: 120_000,
  })
  await using client = await createNixClient({ lab })
  const attributes = `name = "fallback-${seed}-${process.pid}"; system = builtins.currentSystem;`
  const builder = 'builder = "/bin/sh"; args = [ "-c" "echo built > $out" ];'
  const expression = `derivation { ${attributes} ${builder} }`
  // With ca-derivations Nix 2.8 aborts where it disables a substituter under `fallback`.
  const features = ['--option', 'experimental-features', 'nix-command']
  const options = [
    ...features,
    '--option',
    'substituters',
    weir.url,
    '--option',
    'download-attempts',
    '1',
  ]
  const build = (fallback: 'true' | 'false') =>
    // In the machine's own store: without privileges there is no building for another one.
    client.run([
      'nix-build',
      '--no-out-link',
      ...options,
      '--option',
      'fallback',
      fallback,
      '-E',
      expression,
    ])
  const without = await build('false')
  const withIt = await build('true')
  const path = withIt.stdout.trim()
  if (path !== '') await client.run(['nix-store', '--delete', path])
  return {
    wrong: [
      ...(without.code === 0 ? ['without fallback the command succeeded'] : []),
      ...(withIt.code === 0 ? [] : [`with fallback: ${withIt.stderr}`]),
    ],
  }
}
