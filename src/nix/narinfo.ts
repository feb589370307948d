/**
 * A narinfo: what a binary cache claims about one store path. `parse-narinfo.ts` specifies the text.
 */
import type { Compression } from './compression.ts'
import type { ContentAddress } from './content-address.ts'
import type { Hash } from './hash.ts'
import type { Signature } from './signature.ts'
import type { StorePath } from './store-path.ts'

export { formatNarinfo } from './format-narinfo.ts'
export {
  type ParsedNarinfo,
  maxNarinfoBytes,
  maxNarinfoLines,
  maxReferences,
  maxSignatures,
  maxUrlLength,
  parseNarinfo,
} from './parse-narinfo.ts'

/** A well-formed narinfo; sizes in bytes, lists in the order of the text, and nothing in it verified. */
export type Narinfo = {
  readonly storePath: StorePath
  /** Relative to the cache's root, or absolute: not to be followed unchecked. */
  readonly url: string
  readonly compression: Compression
  /** Of the compressed file; clients never check it. */
  readonly fileHash: Hash | null
  /** Of the compressed file; null where it is missing or 0, which clients take for unknown. */
  readonly fileSize: bigint | null
  /** Always sha256. */
  readonly narHash: Hash
  /** Never 0. */
  readonly narSize: bigint
  readonly references: readonly StorePath[]
  readonly deriver: StorePath | null
  readonly signatures: readonly Signature[]
  /** Values of `Sig` fields that are no signature; they are never written again. */
  readonly malformedSignatures: readonly string[]
  readonly ca: ContentAddress | null
  /** Keys and values of lines with a key that we do not know, in order. */
  readonly unknownFields: readonly (readonly [string, string])[]
}
