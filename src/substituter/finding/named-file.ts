import { type DecodableCompression, isDecodable } from '../../nix/compression.ts'
import type { Narinfo } from '../../nix/narinfo.ts'
import type { StoredNar } from '../../ports/catalog.ts'
import type { NamedFile } from './render-narinfo.ts'

/** What NARs are kept and handed out in: always zstd, or what the upstream has. */
export type NarEncoding = 'zstd' | 'upstream'

/**
 * The representation of a NAR that its narinfo names. A file that is stored in another compression than the setting's is none that a
 * client needs to know of, but for zstd: there is nothing better.
 */
export function namedFile(
  encoding: NarEncoding,
  { compression }: Pick<Narinfo, 'compression'>,
  stored: StoredNar | null,
): NamedFile {
  const isNarVerified = stored !== null
  const wanted = stored?.key.compression ?? upstreams(compression)
  if (encoding === 'upstream' || wanted === 'zstd') {
    return { compression: wanted, file: stored, isNarVerified }
  }
  return { compression: 'zstd', file: null, isNarVerified }
}

/** What nobody decodes cannot be verified, and so not kept either. */
function upstreams(compression: Narinfo['compression']): DecodableCompression {
  return isDecodable(compression) ? compression : 'zstd'
}
