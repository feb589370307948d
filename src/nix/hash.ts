/**
 * Hashes as Nix writes them.
 *
 *   hash = algorithm ":" (base16 | nix32 | base64)     told apart by their length
 *        | algorithm "-" base64                        SRI
 *
 * with the algorithms md5, sha1, sha256 and sha512. Nix itself writes the nix32 form. Base16 may be in either case.
 */
import { Buffer } from 'node:buffer'
import { decodeBase64 } from './base64.ts'
import { decodeNix32, encodeNix32, nix32Length } from './nix32.ts'

/** The hash algorithms that a narinfo or a content address may name. */
export type HashAlgorithm = 'md5' | 'sha1' | 'sha256' | 'sha512'

/** A digest and its algorithm; `bytes` is `digestLength[algorithm]` bytes long. */
export type Hash = { readonly algorithm: HashAlgorithm; readonly bytes: Uint8Array }

/** The length of each algorithm's digest, in bytes. */
export const digestLength: Readonly<Record<HashAlgorithm, number>> = {
  md5: 16,
  sha1: 20,
  sha256: 32,
  sha512: 64,
}

/** The algorithm of that name, or null; names are lower case. */
export function parseHashAlgorithm(text: string): HashAlgorithm | null {
  switch (text) {
    case 'md5':
    case 'sha1':
    case 'sha256':
    case 'sha512':
      return text
    default:
      return null
  }
}

/** The hash that a text in any of Nix's forms stands for, or null. */
export function parseHash(text: string): Hash | null {
  const separator = /[:-]/.exec(text)
  if (separator === null) return null
  const algorithm = parseHashAlgorithm(text.slice(0, separator.index))
  if (algorithm === null) return null
  const rest = text.slice(separator.index + 1)
  const length = digestLength[algorithm]
  const bytes = separator[0] === ':' ? decodeDigest(rest, length) : decodeBase64(rest)
  return bytes?.length === length ? { algorithm, bytes } : null
}

/** `algorithm:` and the digest in nix32: the form that Nix writes and that fingerprints contain. */
export function formatHash(hash: Hash): string {
  return `${hash.algorithm}:${encodeNix32(hash.bytes)}`
}

/** The digest alone in lower-case base16, as store path derivation needs it. */
export function formatDigestHex(hash: Hash): string {
  return Buffer.from(hash.bytes).toString('hex')
}

/** Whether two hashes are the same digest by the same algorithm. */
export function hashEquals(a: Hash, b: Hash): boolean {
  return a.algorithm === b.algorithm && Buffer.compare(a.bytes, b.bytes) === 0
}

function decodeDigest(text: string, byteLength: number): Uint8Array | null {
  switch (text.length) {
    case byteLength * 2:
      return /^[0-9a-fA-F]*$/.test(text) ? new Uint8Array(Buffer.from(text, 'hex')) : null
    case nix32Length(byteLength):
      return decodeNix32(text)
    default:
      return decodeBase64(text)
  }
}
