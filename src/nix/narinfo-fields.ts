/**
 * The fields of a narinfo one by one, as `parse-narinfo.ts` lists them.
 */
import { type Compression, parseCompression } from './compression.ts'
import { type ContentAddress, parseContentAddress } from './content-address.ts'
import { type Hash, parseHash } from './hash.ts'
import type { Narinfo } from './narinfo.ts'
import { type Signature, parseSignature } from './signature.ts'
import { type StoreDir, type StorePath, parseBaseName, parseStorePath } from './store-path.ts'

/** The most references that a narinfo may have. */
export const maxReferences = 20_000

/** The most signatures that a narinfo may have, malformed ones included. */
export const maxSignatures = 16

/** The longest URL that a narinfo may have, in UTF-16 code units. */
export const maxUrlLength = 4096

/** A narinfo while its lines are read; null where the field has not been seen. */
export type Draft = {
  storePath: StorePath | null
  url: string | null
  compression: Compression
  fileHash: Hash | null
  fileSize: bigint | null
  narHash: Hash | null
  narSize: bigint | null
  references: StorePath[]
  deriver: StorePath | null
  signatures: Signature[]
  malformedSignatures: string[]
  ca: ContentAddress | null
  unknownFields: (readonly [string, string])[]
}

/** A draft in which no field has been seen. */
export function emptyDraft(): Draft {
  return {
    storePath: null,
    url: null,
    compression: 'bzip2',
    fileHash: null,
    fileSize: null,
    narHash: null,
    narSize: null,
    references: [],
    deriver: null,
    signatures: [],
    malformedSignatures: [],
    ca: null,
    unknownFields: [],
  }
}

type FieldReader = (draft: Draft, value: string, storeDir: StoreDir) => string | null

/** By key, what reads a value into a draft: null on success, otherwise the reason as a short English clause. */
export const fieldReaders: ReadonlyMap<string, FieldReader> = new Map<string, FieldReader>([
  ['StorePath', readStorePath],
  ['URL', readUrl],
  ['Compression', readCompression],
  ['FileHash', readFileHash],
  ['FileSize', readFileSize],
  ['NarHash', readNarHash],
  ['NarSize', readNarSize],
  ['References', readReferences],
  ['Deriver', readDeriver],
  ['Sig', readSignature],
  ['CA', readContentAddress],
])

/** The narinfo of a draft whose lines have all been read, or which required field is missing. */
export function completeNarinfo(
  draft: Draft,
):
  | { readonly kind: 'ok'; readonly narinfo: Narinfo }
  | { readonly kind: 'malformed'; readonly field: string; readonly reason: string } {
  const { storePath, url, narHash, narSize } = draft
  if (storePath === null) return missing('StorePath')
  if (url === null) return missing('URL')
  if (narHash === null) return missing('NarHash')
  if (narSize === null) return missing('NarSize')
  return { kind: 'ok', narinfo: { ...draft, storePath, url, narHash, narSize } }
}

function missing(field: string) {
  return { kind: 'malformed', field, reason: 'missing' } as const
}

function readStorePath(draft: Draft, value: string, storeDir: StoreDir): string | null {
  draft.storePath = parseStorePath(value, storeDir)
  return draft.storePath === null ? `not a path in ${storeDir}` : null
}

function readUrl(draft: Draft, value: string): string | null {
  draft.url = value
  if (value === '') return 'empty'
  return value.length > maxUrlLength ? `longer than ${maxUrlLength} characters` : null
}

function readCompression(draft: Draft, value: string): string | null {
  const compression = parseCompression(value)
  if (compression === null) return 'unknown compression'
  draft.compression = compression
  return null
}

function readFileHash(draft: Draft, value: string): string | null {
  draft.fileHash = parseHash(value)
  return draft.fileHash === null ? 'not a hash' : null
}

function readFileSize(draft: Draft, value: string): string | null {
  const size = parseSize(value)
  draft.fileSize = size === 0n ? null : size
  return size === null ? 'not a number below 2⁶⁴' : null
}

function readNarHash(draft: Draft, value: string): string | null {
  draft.narHash = parseHash(value)
  if (draft.narHash === null) return 'not a hash'
  return draft.narHash.algorithm === 'sha256' ? null : 'not sha256, which signatures demand'
}

function readNarSize(draft: Draft, value: string): string | null {
  draft.narSize = parseSize(value)
  if (draft.narSize === null) return 'not a number below 2⁶⁴'
  return draft.narSize === 0n ? 'zero' : null
}

function readReferences(draft: Draft, value: string): string | null {
  if (draft.references.length > 0) return 'given twice'
  // Like clients, take any number of spaces for one.
  for (const baseName of value.split(' ')) {
    if (baseName === '') continue
    const reference = parseBaseName(baseName)
    if (reference === null) return 'not a list of store paths'
    if (draft.references.length === maxReferences) return `more than ${maxReferences} references`
    draft.references.push(reference)
  }
  return null
}

function readDeriver(draft: Draft, value: string): string | null {
  draft.deriver = value === 'unknown-deriver' ? null : parseBaseName(value)
  return draft.deriver === null && value !== 'unknown-deriver' ? 'not a store path' : null
}

function readSignature(draft: Draft, value: string): string | null {
  if (draft.signatures.length + draft.malformedSignatures.length === maxSignatures) {
    return `more than ${maxSignatures} signatures`
  }
  const signature = parseSignature(value)
  if (signature === null) draft.malformedSignatures.push(value)
  else draft.signatures.push(signature)
  return null
}

function readContentAddress(draft: Draft, value: string): string | null {
  if (draft.ca !== null) return 'given twice'
  if (value === '') return null
  draft.ca = parseContentAddress(value)
  return draft.ca === null ? 'not a content address' : null
}

function parseSize(text: string): bigint | null {
  if (!/^[0-9]{1,20}$/.test(text)) return null
  const size = BigInt(text)
  return size < 2n ** 64n ? size : null
}
