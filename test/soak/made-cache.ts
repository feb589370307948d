import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { zstdDecompressSync } from 'node:zlib'
import { initModule, unxzAsync } from 'node-liblzma/wasm'
import { formatHash, type Hash } from '../../src/nix/hash.ts'
import { formatNarinfo } from '../../src/nix/narinfo.ts'
import { encodeNar } from '../fakes/encode-nar.ts'
import { changed, type Offer } from '../lab/forged-offer.ts'
import { storeDir } from '../nix/fixtures.ts'

/** The encodings of made caches. */
export const encodings = ['none', 'xz', 'zstd'] as const
export type Encoding = (typeof encodings)[number]

const extensions: Readonly<Record<string, string>> = { none: '', xz: '.xz', zstd: '.zst' }

/** How the name of a NAR's file in that compression goes on after `.nar`. */
export function extensionOf(compression: string): string {
  const extension = extensions[compression]
  if (extension === undefined) throw new Error(`${compression}: an encoding that no trial knows`)
  return extension
}

/** A folder in the layout of a binary cache, removed when it is disposed of. */
export type MadeCache = AsyncDisposable & {
  readonly root: string
  /** The URL's path of an offer's NAR, such as `/nar/….nar.xz`. */
  readonly narPath: (offer: Offer) => string
}

/** Writes offers as a binary cache, all in one encoding, with FileHash and FileSize. */
export async function makeCache(offers: readonly Offer[], encoding: Encoding): Promise<MadeCache> {
  const root = await mkdtemp(join(tmpdir(), 'weir-made-'))
  await mkdir(join(root, 'nar'))
  await writeFile(join(root, 'nix-cache-info'), `StoreDir: ${storeDir}\n`)
  const urls = new Map<string, string>()
  for (const offer of offers) {
    const file = await encodeNar(encoding, offer.nar)
    const fileHash: Hash = {
      algorithm: 'sha256',
      bytes: new Uint8Array(createHash('sha256').update(file).digest()),
    }
    const name = formatHash(fileHash).slice('sha256:'.length)
    const url = `nar/${name}.nar${extensionOf(encoding)}`
    const { narinfo } = changed(offer, {
      ...{ url, compression: encoding, fileHash, fileSize: BigInt(file.length) },
    })
    urls.set(narinfo.storePath.hash, url)
    await writeFile(join(root, url), file)
    await writeFile(
      join(root, `${narinfo.storePath.hash}.narinfo`),
      formatNarinfo(narinfo, storeDir),
    )
  }
  return {
    root,
    narPath: ({ narinfo }) => `/${urls.get(narinfo.storePath.hash) ?? ''}`,
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  }
}

/** The NAR in a file, whose name ends as its encoding says; throws where it does not decode. */
export async function decodeFile(name: string, file: Uint8Array): Promise<Uint8Array> {
  if (name.endsWith('.nar')) return file
  if (name.endsWith('.zst')) return zstdDecompressSync(file)
  if (!name.endsWith('.xz')) throw new Error(`${name}: an encoding that no trial knows`)
  await initModule()
  return unxzAsync(file)
}
