import { createHash } from 'node:crypto'
import type { ContentAddress } from '../../src/nix/content-address.ts'
import { storePathOfContentAddress } from '../../src/nix/content-address.ts'
import { fingerprint } from '../../src/nix/fingerprint.ts'
import type { HashAlgorithm } from '../../src/nix/hash.ts'
import { formatHash } from '../../src/nix/hash.ts'
import type { Narinfo } from '../../src/nix/narinfo.ts'
import { encodeNix32 } from '../../src/nix/nix32.ts'
import { type SecretKey, sign } from '../../src/nix/signature.ts'
import { parseBaseName, type StorePath } from '../../src/nix/store-path.ts'
import { must, storeDir } from '../nix/fixtures.ts'
import { writeNar } from '../nix/tree.ts'

/** A path as a binary cache offers it: what its narinfo says, and the NAR that it gives, which need not fit each other. */
export type Offer = { readonly narinfo: Narinfo; readonly nar: Buffer }

export type OfferOptions = {
  /** The store path's name, such as `hello-1.0`. */
  readonly name: string
  /** The bytes of the one file that the path is; the name unless told. */
  readonly content?: string | Uint8Array
  /** What the hash is made from: the same for the same path; the name unless told. */
  readonly seed?: string
  readonly references?: readonly StorePath[]
}

/** An input-addressed path, not signed by anybody. */
export function makeOffer(options: OfferOptions): Offer {
  const { name, content = name, seed = name, references = [] } = options
  const digest = createHash('sha256').update(seed).digest().subarray(0, 20)
  const storePath = must(parseBaseName(`${encodeNix32(digest)}-${name}`))
  const nar = fileNar(content)
  return {
    nar,
    narinfo: {
      ...{ storePath, ...described(nar) },
      ...{ compression: 'none', fileHash: null, fileSize: null, references, deriver: null },
      ...{ signatures: [], malformedSignatures: [], ca: null, unknownFields: [] },
    },
  }
}

/** A content-addressed path without references, not signed by anybody. */
export function makeContentAddressed(
  name: string,
  method: ContentAddress['method'],
  algorithm: HashAlgorithm,
  content: string,
): Offer {
  const offer = makeOffer({ name, content })
  const hashed = method === 'recursive' ? offer.nar : content
  const bytes = new Uint8Array(createHash(algorithm).update(hashed).digest())
  const ca: ContentAddress = { method, hash: { algorithm, bytes } }
  const made = storePathOfContentAddress(ca, name, [], { selfReference: false }, storeDir)
  return changed(offer, { ca, storePath: must(made) })
}

/** The same with some fields of its narinfo replaced; signatures stay as they are. */
export function changed(offer: Offer, fields: Partial<Narinfo>): Offer {
  return { ...offer, narinfo: { ...offer.narinfo, ...fields } }
}

/** The same path with another content, honestly described: NarHash and NarSize are those of its NAR. */
export function withContent(offer: Offer, content: string | Uint8Array): Offer {
  const nar = fileNar(content)
  return changed({ ...offer, nar }, described(nar))
}

/** The same hash under another name. */
export function renamed(offer: Offer, name: string): Offer {
  const { hash } = offer.narinfo.storePath
  return changed(offer, { storePath: must(parseBaseName(`${hash}-${name}`)) })
}

/** The same with these keys' signatures after those that it has. */
export function signedBy(offer: Offer, ...keys: readonly SecretKey[]): Offer {
  const message = fingerprint(offer.narinfo, storeDir)
  const made = keys.map((key) => sign(key, message))
  return changed(offer, { signatures: [...offer.narinfo.signatures, ...made] })
}

/** Its full path in the store. */
export function pathOf({ narinfo }: Offer): string {
  return `${storeDir}/${narinfo.storePath.baseName}`
}

/** The SHA-256 of its NAR, in hex. */
export function narSha256Of({ nar }: Offer): string {
  return createHash('sha256').update(nar).digest('hex')
}

/** Bytes that no compressor shortens, the same for the same seed. */
export function noise(seed: string, bytes: number): Buffer {
  return createHash('shake256', { outputLength: bytes }).update(seed).digest()
}

function fileNar(content: string | Uint8Array): Buffer {
  return writeNar({ type: 'regular', contents: Buffer.from(content), executable: false })
}

function described(nar: Buffer): Pick<Narinfo, 'narHash' | 'narSize' | 'url'> {
  const bytes = new Uint8Array(createHash('sha256').update(nar).digest())
  const narHash = { algorithm: 'sha256', bytes } as const
  const url = `nar/${formatHash(narHash).slice('sha256:'.length)}.nar`
  return { narHash, narSize: BigInt(nar.length), url }
}
