import { createHash } from 'node:crypto'
import { encodeNix32 } from '../../src/nix/nix32.ts'
import { generateSecretKey, formatPublicKey, publicKeyOf } from '../../src/nix/signature.ts'
import { parseBaseName } from '../../src/nix/store-path.ts'
import { signedNarinfo } from '../signed-narinfo.ts'
import {
  compressed,
  type Content,
  hashOf,
  madeNar,
  type MadeCompression,
  type MadeNar,
  sizeOf,
} from './made-nar.ts'

/** A binary cache of NARs that are made while they are sent. */
export type MadeCache = {
  /** `name:base64` */
  readonly publicKey: string
  /** The hash parts of its store paths. */
  readonly hashes: readonly string[]
  /** Of all its NARs together. */
  readonly narBytes: number
  /** Texts by the path of their URL. */
  readonly narinfos: ReadonlyMap<string, string>
  /** What is sent, by the path of its URL. */
  readonly nars: ReadonlyMap<string, MadeNar>
}

export type MadeCacheOptions = {
  readonly content: Content
  readonly compression: MadeCompression
  readonly count: number
  /** Of each NAR, about. */
  readonly bytes: number
}

/** Makes a cache, which takes a second a gigabyte: NARs are hashed. */
export async function makeCache(options: MadeCacheOptions): Promise<MadeCache> {
  const { content, compression, count, bytes } = options
  const key = generateSecretKey('bench.weir.test-1')
  const narinfos = new Map<string, string>()
  const nars = new Map<string, MadeNar>()
  const hashes: string[] = []
  let narBytes = 0
  const first = madeNar(content, bytes, 'file')
  const { block } = await compressed(first, compression)
  for (let index = 0; index < count; index++) {
    const nar = { ...madeNar(content, bytes, `file-${index}`), block: first.block }
    const ends = await compressed({ ...nar, block: new Uint8Array(0) }, compression)
    const hash = hashPart(`${content} ${compression} ${index}`)
    const url = `nar/${hash}.nar`
    nars.set(`/${url}`, { ...ends, block })
    hashes.push(hash)
    narBytes += sizeOf(nar)
    const made = { references: [], url, compression, fileHash: null, fileSize: null }
    const storePath = parseBaseName(`${hash}-bench-${index}`)
    if (storePath === null) throw new TypeError('the bench made a malformed store path')
    const facts = { storePath, narHash: hashOf(nar), narSize: BigInt(sizeOf(nar)) }
    narinfos.set(`/${hash}.narinfo`, signedNarinfo({ ...made, ...facts }, key))
  }
  return { publicKey: formatPublicKey(publicKeyOf(key)), hashes, narBytes, narinfos, nars }
}

function hashPart(text: string): string {
  return encodeNix32(createHash('sha256').update(text).digest().subarray(0, 20))
}
