import { mkdir, mkdtemp, open, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { formatPublicKey, generateSecretKey } from '../../src/nix/signature.ts'
import { askMetric } from '../lab/ask-weir.ts'
import { mustHold } from '../lab/deliveries.ts'
import { makeOffer, noise, type Offer, pathOf, signedBy } from '../lab/forged-offer.ts'
import { prepareLab } from '../lab/lab-caches.ts'
import { createNixClient, type NixClient } from '../lab/nix-client.ts'
import { runCommand } from '../lab/run-command.ts'
import { startUpstream } from '../lab/upstream-server.ts'
import { startWeir, type WeirProcess } from '../lab/weir-process.ts'
import { disagreements, narFiles, partialFiles, wrongFiles } from './cache-state.ts'
import { fetchPath } from './fetch-path.ts'
import { type Encoding, makeCache } from './made-cache.ts'
import type { Tally } from './tally.ts'

export type FullDiskOptions = {
  readonly seed: number
  readonly encoding: Encoding
  /** The paths' NARs, together larger than its disk. */
  readonly paths: number
  readonly narBytes: number
  readonly tally: Tally
}

/** A file system of its own; unmounted when it is disposed of. */
type SmallDisk = AsyncDisposable & { readonly dir: string }

/** Mounts a small file system; a text that says why, where this machine does not let it. */
export async function mountSmallDisk(bytes: number): Promise<SmallDisk | string> {
  const dir = await mkdtemp(join(tmpdir(), 'weir-disk-'))
  const args = ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', dir]
  const mounted = await runCommand('mount', args).catch((error: unknown) => String(error))
  if (typeof mounted === 'string' || mounted.code !== 0) {
    await rm(dir, { recursive: true })
    return `no file system can be mounted: ${typeof mounted === 'string' ? mounted : mounted.stderr}`
  }
  return {
    dir,
    [Symbol.asyncDispose]: async () => {
      await runCommand('umount', ['--lazy', dir])
      await rm(dir, { recursive: true })
    },
  }
}

/** A cache's disk that fills, by the cache and by somebody else, and that has room again later. */
export async function tryFullDisk(options: FullDiskOptions, { dir }: SmallDisk): Promise<void> {
  const { seed, encoding, paths, narBytes, tally } = options
  const key = generateSecretKey('made-1')
  const publicKeys = [formatPublicKey(key.publicKey)]
  const offers = Array.from({ length: paths }, (_, index) => {
    const name = `full-${seed}-${index}`
    return signedBy(makeOffer({ name, content: noise(name, narBytes) }), key)
  })
  const third = Math.floor(paths / 3)
  await using cache = await makeCache(offers, encoding)
  await using upstream = await startUpstream({ root: cache.root })
  const cacheDir = join(dir, 'cache')
  await mkdir(cacheDir)
  await using weir = await startWeir({
    cacheDir,
    config: {
      upstreams: [{ name: 'made', url: upstream.url, keys: publicKeys }],
      // Every other NAR is handed out as it comes.
      extra: { nar: { verify_first: narBytes } },
    },
  })
  await using client = await createNixClient({ lab: await prepareLab(), publicKeys })
  const served = (when: string, some: readonly Offer[]) =>
    mustServe({ weir, client, tally }, when, some)

  // Somebody else has half of the disk, and then all that the cache left.
  const filler = join(dir, 'of-somebody-else')
  const { blocks, bsize } = await statfs(dir)
  await fill(filler, (blocks * bsize) / 2)
  await served('while the cache fills its disk', offers)
  await fill(filler, Infinity)
  await served('on a disk that somebody filled', offers.slice(0, 2 * third))
  const failures = await askMetric(weir, 'weir_store_failures_total')
  if (failures === 0) tally.fail('weir_store_failures_total did not rise')
  tally.count('NARs that could not be kept', failures)
  await rm(filler)
  await mustHeal({ weir, client, tally }, offers)

  await weir.stop()
  for (const name of await partialFiles(weir)) tally.fail(`left: .partial/${name}`)
  for (const name of await wrongFiles(weir, offers)) tally.fail(`stored, and wrong: ${name}`)
  for (const what of await disagreements(weir)) tally.fail(what)
}

type Served = { readonly weir: WeirProcess; readonly client: NixClient; readonly tally: Tally }

/** A raw client and a real one get each of the paths. */
async function mustServe(
  { weir, client, tally }: Served,
  when: string,
  offers: readonly Offer[],
): Promise<void> {
  for (const offer of offers) {
    let got = await fetchPath(weir.url, offer)
    if (got.kind === 'cut') {
      // A disk may fill in the middle of a body; who asks again is not to notice.
      tally.count('bodies cut')
      got = await fetchPath(weir.url, offer)
    }
    if (got.kind !== 'right') tally.fail(`${when}: ${JSON.stringify(got)}`)
    tally.count('NARs')
  }
  await client.wipe()
  const { code, stderr } = await client.realise(offers.map(pathOf), { substituters: [weir.url] })
  if (code !== 0) tally.fail(`${when}: ${stderr}`)
  else await mustHold(client, offers)
  tally.count('commands')
}

/** With room on the disk, what is fetched is stored again; from what is stored is served with no upstream's help. */
async function mustHeal(served: Served, offers: readonly Offer[]): Promise<void> {
  const { weir, tally } = served
  const before = await narFiles(weir)
  const unstored = offers.filter(
    ({ narinfo }) => !before.some((name) => name.startsWith(narinfo.storePath.hash)),
  )
  await mustServe(served, 'with room again', unstored.slice(0, 2))
  const after = await narFiles(weir)
  const healed = after.length - before.length
  if (healed <= 0) tally.fail('nothing is stored although there is room')
  tally.count('NARs stored again', Math.max(0, healed))
}

/** Lets a file grow by so many bytes, or until there is no room on its disk. */
export async function fill(file: string, bytes: number): Promise<void> {
  const handle = await open(file, 'a')
  const piece = Buffer.alloc(1 << 16, 'full')
  try {
    for (let written = 0; written < bytes;) written += (await handle.write(piece)).bytesWritten
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error
  } finally {
    await handle.close()
  }
}
