import { createHash } from 'node:crypto'
import { type ContentAddress, storePathOfContentAddress } from '../nix/content-address.ts'
import { fingerprint } from '../nix/fingerprint.ts'
import { formatNarinfo } from '../nix/format-narinfo.ts'
import type { Hash } from '../nix/hash.ts'
import type { Narinfo } from '../nix/narinfo.ts'
import { encodeNix32 } from '../nix/nix32.ts'
import { type SecretKey, sign } from '../nix/signature.ts'
import {
  parseBaseName,
  type StoreDir,
  type StorePath,
  type StorePathHash,
} from '../nix/store-path.ts'
import type { CaseClaim, PolicyCase } from './case-schema.ts'

/** The narinfos of a case, by the upstreams that have them, and the hash that is asked for. */
export type CaseClaims = {
  readonly hash: StorePathHash
  readonly texts: ReadonlyMap<string, Uint8Array>
}

/** What stands in no case, since no verdict depends on it. */
const unlooked = {
  url: 'nar/case.nar',
  compression: 'none',
  fileHash: null,
  fileSize: null,
  narSize: 1024n,
  deriver: null,
  malformedSignatures: [],
  unknownFields: [],
} as const

/** Writes and signs the narinfos of a case. */
export function caseClaims(
  { path, claims }: PolicyCase,
  storeDir: StoreDir,
  secretOf: (keyName: string) => SecretKey,
): CaseClaims {
  const addressed = claims.map((claim) => addressedPath(claim, path, storeDir))
  const { hash } = addressed.find((each) => each !== null) ?? storePathOf(path)
  const texts = claims.map((claim) => {
    const narinfo: Narinfo = {
      ...unlooked,
      storePath: storePath(hash, claim.name ?? path),
      narHash: narHash(claim),
      references: claim.references.map(storePathOf),
      ca: addressOf(claim),
      signatures: [],
    }
    const message =
      claim.signature === 'good' ? fingerprint(narinfo, storeDir) : 'something else than the claim'
    const signatures = claim.signed_by.map((keyName) => sign(secretOf(keyName), message))
    const text = formatNarinfo({ ...narinfo, signatures }, storeDir)
    return [claim.upstream, Buffer.from(text)] as const
  })
  return { hash, texts: new Map(texts) }
}

/** The store path that follows from a claim's content address; `null` where it has none that fits, or Nix has none such. */
export function addressedPath(
  claim: CaseClaim,
  path: string,
  storeDir: StoreDir,
): StorePath | null {
  const { content_addressed: kind, name = path, references } = claim
  const ca = addressOf(claim)
  if (ca === null || kind === 'wrong') return null
  const others = references.map(storePathOf)
  return storePathOfContentAddress(ca, name, others, { selfReference: false }, storeDir)
}

function addressOf(claim: CaseClaim): ContentAddress | null {
  const { content_addressed: kind, nar } = claim
  const method = 'recursive'
  switch (kind) {
    case false:
      return null
    case true:
      // A NAR without its own hash in it is hashed as it is.
      return { method, hash: narHash(claim) }
    case 'wrong':
      return { method, hash: digest('sha256', `other content than that of ${nar}`) }
    case 'md5':
      return { method, hash: digest('md5', `the NAR ${nar}`) }
  }
}

function narHash({ nar }: CaseClaim): Hash {
  return digest('sha256', `the NAR ${nar}`)
}

function digest(algorithm: 'md5' | 'sha256', text: string): Hash {
  return { algorithm, bytes: createHash(algorithm).update(text).digest() }
}

/** A store path of that name: the same for the same name, and of no real one. */
function storePathOf(name: string): StorePath {
  const bytes = createHash('sha256').update(`the path ${name}`).digest().subarray(0, 20)
  return storePath(encodeNix32(bytes), name)
}

function storePath(hash: string, name: string): StorePath {
  const path = parseBaseName(`${hash}-${name}`)
  if (path === null) throw new RangeError(`not the name of a store path: ${name}`)
  return path
}
