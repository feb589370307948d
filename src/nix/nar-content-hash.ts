/**
 * The content hash that a content address speaks of, computed from a path's NAR.
 *
 *   text, flat   the hash of the bytes of the one file that the NAR consists of: regular, not executable
 *   recursive    the hash of the NAR modulo its own hash, see modulo-hasher.ts
 *   git          not supported
 */
import { createHash } from 'node:crypto'
import type { ContentAddress } from './content-address.ts'
import type { Hash, HashAlgorithm } from './hash.ts'
import { createModuloHasher } from './modulo-hasher.ts'
import { NarError, createNarParser } from './nar.ts'
import type { StorePathHash } from './store-path.ts'

/** Takes a NAR's bytes in chunks of any size; `digest` is called once, at the end. */
export type ContentHasher = {
  readonly update: (narChunk: Uint8Array) => void
  /** The content's hash, or null where the NAR has no content of the kind that was asked for. */
  readonly digest: () => Hash | null
}

/** Whether the content hash of such an address can be computed from a NAR. */
export function supportsContentHash(ca: ContentAddress): boolean {
  return ca.method !== 'git'
}

/** A hasher of the content that `ca` speaks of, by the same method and algorithm, in the path with that hash; never throws. */
export function createContentHasher(ca: ContentAddress, ownHash: StorePathHash): ContentHasher {
  switch (ca.method) {
    case 'text':
    case 'flat':
      return createFileHasher(ca.hash.algorithm)
    case 'recursive':
      return createModuloHasher(ca.hash.algorithm, ownHash)
    case 'git':
      return { update: () => undefined, digest: () => null }
  }
}

function createFileHasher(algorithm: HashAlgorithm): ContentHasher {
  const hash = createHash(algorithm)
  let root: 'unseen' | 'plain-file' | 'other' = 'unseen'
  const parser = createNarParser({
    directory: () => {
      root = 'other'
    },
    file: ({ executable }) => {
      if (root === 'unseen') root = executable ? 'other' : 'plain-file'
    },
    symlink: () => {
      root = 'other'
    },
    contents: (chunk) => {
      if (root === 'plain-file') hash.update(chunk)
    },
  })
  const attempt = (step: () => void): void => {
    if (root === 'other') return
    try {
      step()
    } catch (error) {
      if (!(error instanceof NarError)) throw error
      root = 'other'
    }
  }
  return {
    update: (narChunk) => {
      attempt(() => {
        parser.write(narChunk)
      })
    },
    digest: () => {
      attempt(parser.end)
      return root === 'plain-file' ? { algorithm, bytes: new Uint8Array(hash.digest()) } : null
    },
  }
}
