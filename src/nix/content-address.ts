/**
 * Content addresses: the `CA` field of a narinfo, and the store path that follows from it.
 *
 *   CA = "text:sha256:" digest | "fixed:" ["r:" | "git:"] algorithm ":" digest
 *
 * The digest is in base16, nix32 (what Nix writes) or base64, never SRI. With r = the references but self, sorted full paths:
 *
 *   text             type = "text" {":" r}                inner = hex(digest)        no self reference
 *   fixed:r:sha256   type = "source" {":" r} [":self"]    inner = hex(digest)
 *   others           type = "output:out"                  no references at all
 *                    inner = hex(sha256("fixed:out:" ("r:" | "git:" | "") algorithm ":" hex(digest) ":"))
 *   hash part = nix32(fold20(sha256(type ":sha256:" inner ":" store directory ":" name)))
 *
 * fold20 XORs byte i onto byte i mod 20. git trees are hashed with sha1 or sha256 only.
 */
import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { sortedFullPaths } from './fingerprint.ts'
import { type Hash, formatDigestHex, formatHash, parseHash } from './hash.ts'
import type { Narinfo } from './narinfo.ts'
import { encodeNix32 } from './nix32.ts'
import { type StoreDir, type StorePath, parseBaseName } from './store-path.ts'

/** How a path's content was hashed: as a text or flat file, as a NAR (`recursive`) or as a git tree. */
export type ContentAddress = {
  readonly method: 'text' | 'flat' | 'recursive' | 'git'
  readonly hash: Hash
}

const prefixOf = {
  text: 'text:',
  flat: 'fixed:',
  recursive: 'fixed:r:',
  git: 'fixed:git:',
} as const
// `fixed:` is a prefix of the two before it.
const methods = ['text', 'recursive', 'git', 'flat'] as const

/** The content address that the value of a `CA` field stands for, or null. */
export function parseContentAddress(text: string): ContentAddress | null {
  const method = methods.find((candidate) => text.startsWith(prefixOf[candidate]))
  if (method === undefined) return null
  const digest = text.slice(prefixOf[method].length)
  const hash = digest.includes(':') ? parseHash(digest) : null
  return hash !== null && isAllowedAlgorithm({ method, hash }) ? { method, hash } : null
}

/** A content address as Nix writes it, its digest in nix32. */
export function formatContentAddress(ca: ContentAddress): string {
  return `${prefixOf[ca.method]}${formatHash(ca.hash)}`
}

/**
 * The store path of that content under that name, or null where Nix has none for the combination. `references` are those other
 * than the path itself.
 */
export function storePathOfContentAddress(
  ca: ContentAddress,
  name: string,
  references: readonly StorePath[],
  { selfReference }: { readonly selfReference: boolean },
  storeDir: StoreDir,
): StorePath | null {
  const type = pathType(ca, sortedFullPaths(references, storeDir), { selfReference })
  if (type === null || !isAllowedAlgorithm(ca)) return null
  const inner = type === 'output:out' ? fixedOutputDigest(ca) : formatDigestHex(ca.hash)
  const digest = sha256(`${type}:sha256:${inner}:${storeDir}:${name}`)
  return parseBaseName(`${encodeNix32(fold20(digest))}-${name}`)
}

/** Whether a narinfo's store path is the one that follows from its content address and references; false without a CA. */
export function contentAddressMatches(
  narinfo: Pick<Narinfo, 'storePath' | 'references' | 'ca'>,
  storeDir: StoreDir,
): boolean {
  if (narinfo.ca === null) return false
  const { baseName, name } = narinfo.storePath
  const others = narinfo.references.filter((reference) => reference.baseName !== baseName)
  const selfReference = others.length < narinfo.references.length
  const path = storePathOfContentAddress(narinfo.ca, name, others, { selfReference }, storeDir)
  return path?.baseName === baseName
}

function isAllowedAlgorithm({ method, hash: { algorithm } }: ContentAddress): boolean {
  switch (method) {
    case 'text':
      return algorithm === 'sha256'
    case 'git':
      return algorithm === 'sha1' || algorithm === 'sha256'
    case 'flat':
    case 'recursive':
      return true
  }
}

function pathType(
  { method, hash: { algorithm } }: ContentAddress,
  references: readonly string[],
  { selfReference }: { readonly selfReference: boolean },
): string | null {
  if (method === 'text') return selfReference ? null : ['text', ...references].join(':')
  if (method === 'recursive' && algorithm === 'sha256') {
    return ['source', ...references, ...(selfReference ? ['self'] : [])].join(':')
  }
  return selfReference || references.length > 0 ? null : 'output:out'
}

function fixedOutputDigest({ method, hash }: ContentAddress): string {
  const prefix = prefixOf[method].slice('fixed:'.length)
  const text = `fixed:out:${prefix}${hash.algorithm}:${formatDigestHex(hash)}:`
  return Buffer.from(sha256(text)).toString('hex')
}

function sha256(text: string): Uint8Array {
  return createHash('sha256').update(text, 'utf8').digest()
}

function fold20(bytes: Uint8Array): Uint8Array {
  const folded = new Uint8Array(20)
  for (const [i, byte] of bytes.entries()) folded[i % 20] = (folded[i % 20] ?? 0) ^ byte
  return folded
}
