/**
 * The NAR format, version 1: one file, symlink or directory tree as bytes, the same tree always as the same bytes.
 *
 *   str(s) = length of s as u64 little-endian, s, zeros up to a multiple of 8
 *   nar    = str("nix-archive-1") node
 *   node   = "(" "type" ( "regular" ["executable" ""] "contents" str
 *                       | "symlink" "target" str
 *                       | "directory" {"entry" "(" "name" str "node" node ")"} ) ")"
 *
 * each word itself a str. Names of a directory's entries are 1 – 255 bytes, strictly increasing bytewise, not "." or "..", without
 * "/" and NUL; targets are 1 – 4095 bytes without NUL; a node's depth is below 64, the root's being 0. Nothing follows the root.
 */
import { NarFraming } from './nar-framing.ts'
import { NarGrammar } from './nar-grammar.ts'
import type { NarHandler } from './nar-handler.ts'

export { NarError, type NarErrorCode } from './nar-error.ts'
export { maxNarDepth, maxNarNameLength, maxNarTargetLength } from './nar-grammar.ts'
export type { NarFile, NarHandler } from './nar-handler.ts'

/** A push parser: bytes in chunks of any size, then the end; both throw a NarError, and do so again when called again. */
export type NarParser = {
  readonly write: (chunk: Uint8Array) => void
  readonly end: () => void
}

/** A parser that validates a NAR strictly while it tells the handler what is in it; memory use does not grow with file sizes. */
export function createNarParser(handler: NarHandler): NarParser {
  const framing = new NarFraming(new NarGrammar(handler))
  // Once it failed, a parser is in no defined state: it must never come to accept.
  let failure: { readonly cause: unknown } | null = null
  const guarded = (step: () => void): void => {
    if (failure !== null) throw failure.cause
    try {
      step()
    } catch (cause) {
      failure = { cause }
      throw cause
    }
  }
  return {
    write: (chunk) => {
      guarded(() => {
        framing.write(chunk)
      })
    },
    end: () => {
      guarded(() => {
        framing.end()
      })
    },
  }
}
