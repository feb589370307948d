/**
 * Reading a narinfo.
 *
 *   narinfo = line+          line = key ":" " " value "\n"
 *
 * UTF-8 without a byte order mark or control characters; each line, the last as well, ends in one newline and none is blank.
 * Values are never trimmed. Fields, case-sensitive, in any order:
 *
 *   StorePath    full path in our store                      required
 *   URL          of the compressed NAR, not empty            required
 *   Compression  see compression.ts                          missing or empty: bzip2
 *   FileHash     see hash.ts                                 optional
 *   FileSize     decimal below 2⁶⁴; 0 means unknown          optional
 *   NarHash      see hash.ts, sha256 only                    required
 *   NarSize      decimal below 2⁶⁴, not 0                    required
 *   References   base names between spaces                   missing: none; refused after a non-empty one
 *   Deriver      base name, or `unknown-deriver`             optional
 *   Sig          see signature.ts                            any number; a malformed one is set aside
 *   CA           see content-address.ts; empty means absent  optional, refused after a non-empty one
 *
 * Of other fields that are given twice the last counts. Unknown fields are kept. Clients skip whichever character follows the
 * colon, a newline too; here it must be the space, so that no two readers can disagree.
 */
import { type Draft, completeNarinfo, emptyDraft, fieldReaders } from './narinfo-fields.ts'
import type { Narinfo } from './narinfo.ts'
import type { StoreDir } from './store-path.ts'

export { maxReferences, maxSignatures, maxUrlLength } from './narinfo-fields.ts'

/** The longest narinfo that is read, in bytes. */
export const maxNarinfoBytes = 2 * 1024 * 1024

/** The most lines that a narinfo may have. */
export const maxNarinfoLines = 1000

/** A narinfo, or why the text is none: the field at fault, null for the text as a whole, and a short English clause. */
export type ParsedNarinfo =
  | { readonly kind: 'ok'; readonly narinfo: Narinfo }
  | { readonly kind: 'malformed'; readonly field: string | null; readonly reason: string }

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Reads the bytes of a narinfo that should describe a path in that store; never throws. */
export function parseNarinfo(bytes: Uint8Array, storeDir: StoreDir): ParsedNarinfo {
  const text = decodeText(bytes)
  if (text.kind === 'malformed') return text
  const draft = emptyDraft()
  for (const line of text.lines) {
    const problem = readLine(draft, line, storeDir)
    if (problem !== null) return problem
  }
  return completeNarinfo(draft)
}

type Malformed = Extract<ParsedNarinfo, { kind: 'malformed' }>

function decodeText(bytes: Uint8Array): Malformed | { kind: 'lines'; lines: string[] } {
  if (bytes.length > maxNarinfoBytes) return malformed(null, `longer than ${maxNarinfoBytes} bytes`)
  let text: string
  try {
    text = utf8.decode(bytes)
  } catch {
    return malformed(null, 'not UTF-8')
  }
  if (text === '') return malformed(null, 'empty')
  if (text.startsWith('\uFEFF')) return malformed(null, 'begins with a byte order mark')
  if (!text.endsWith('\n')) return malformed(null, 'the last line does not end in a newline')
  const lines = text.slice(0, -1).split('\n', maxNarinfoLines + 1)
  if (lines.length > maxNarinfoLines) return malformed(null, `more than ${maxNarinfoLines} lines`)
  return { kind: 'lines', lines }
}

function readLine(draft: Draft, line: string, storeDir: StoreDir): Malformed | null {
  if (/\p{Cc}/u.test(line)) return malformed(null, 'contains a control character')
  const colon = line.indexOf(':')
  if (colon === -1) return malformed(null, 'a line has no colon')
  const key = line.slice(0, colon)
  const read = fieldReaders.get(key)
  if (line.charAt(colon + 1) !== ' ') {
    return malformed(read === undefined ? null : key, 'no space after the colon')
  }
  const value = line.slice(colon + 2)
  if (read === undefined) {
    draft.unknownFields.push([key, value])
    return null
  }
  const reason = read(draft, value, storeDir)
  return reason === null ? null : malformed(key, reason)
}

function malformed(field: string | null, reason: string): Malformed {
  return { kind: 'malformed', field, reason }
}
