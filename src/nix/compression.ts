/**
 * The `Compression` field of a narinfo: one of thirteen names, in lower case. A missing or empty field means bzip2, which is
 * what the first binary caches used.
 */

const compressions = [
  'none',
  'br',
  'bzip2',
  'compress',
  'grzip',
  'gzip',
  'lrzip',
  'lz4',
  'lzip',
  'lzma',
  'lzop',
  'xz',
  'zstd',
] as const

/** How a NAR is compressed where it is stored. */
export type Compression = (typeof compressions)[number]

/** The compression that a field's value names, or null for a name that Nix does not know. */
export function parseCompression(text: string): Compression | null {
  if (text === '') return 'bzip2'
  return compressions.find((compression) => compression === text) ?? null
}

/** Those that Weir decodes: what Nix's own caches and Cachix use. */
const decodableCompressions = ['none', 'xz', 'zstd', 'br', 'gzip', 'bzip2'] as const

/** A compression that Weir decodes, and keeps files in. */
export type DecodableCompression = (typeof decodableCompressions)[number]

/** Whether Weir makes files in it, of what it has in another one; nothing makes bzip2. */
export function isMade(compression: DecodableCompression): boolean {
  return compression !== 'bzip2'
}

/** Whether Weir decodes it. */
export function isDecodable(compression: Compression): compression is DecodableCompression {
  return decodableCompressions.some((name) => name === compression)
}
