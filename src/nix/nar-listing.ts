/**
 * The `.ls` file of a NAR: what is in it, as JSON on one line without a newline at its end, in the NAR's order and as Nix writes it.
 *
 *   listing = {"version":1,"root":node}
 *   node    = {"type":"regular","size":bytes["executable":true],"narOffset":offset}
 *           | {"type":"directory","entries":{name:node, …}}
 *           | {"type":"symlink","target":text}
 *
 * `narOffset` is the offset of the content's first byte within the NAR. JSON is UTF-8: a NAR with another name or target has no
 * listing. (Old clients write the bytes as they are, which nobody can parse; new ones fail.)
 */
import { Buffer } from 'node:buffer'
import { createNarParser } from './nar.ts'

/** Why a NAR, though well-formed, has no listing. */
export type NarListingErrorCode = 'too-many-entries' | 'too-large' | 'not-utf8'

/** A NAR that cannot be listed; the message is for people. */
export class NarListingError extends Error {
  override readonly name = 'NarListingError'
  readonly code: NarListingErrorCode

  constructor(code: NarListingErrorCode, message: string) {
    super(message)
    this.code = code
  }
}

/** How much a listing may hold; the depth is bounded by the NAR format. */
export type ListingLimits = {
  readonly maxEntries: number
  /** Of the JSON. */
  readonly maxBytes: number
}

/** More than any package that is known to be built: a browser's sources have half as many files. */
export const listingLimits: ListingLimits = { maxEntries: 1_000_000, maxBytes: 64 * 1024 * 1024 }

/** Takes a NAR in pieces of any size; `write` and `end` throw a `NarError` or a `NarListingError`. */
export type NarLister = {
  readonly write: (chunk: Uint8Array) => void
  /** The listing of the whole NAR, as UTF-8. */
  readonly end: () => Buffer
}

/** A lister of one NAR. */
export function createNarLister(limits: ListingLimits = listingLimits): NarLister {
  const text = boundedText(limits)
  /** For each open directory whether it has an entry before the next one. */
  const open: boolean[] = []
  text.add('{"version":1,"root":')
  const parser = createNarParser({
    directory: () => {
      open.push(false)
      text.add('{"type":"directory","entries":{')
    },
    entry: (name, rawName) => {
      text.countEntry()
      text.add(`${open.at(-1) === true ? ',' : ''}${quote(name, rawName)}:`)
      open[open.length - 1] = true
    },
    leaveDirectory: () => {
      open.pop()
      text.add('}}')
    },
    file: ({ size, executable, offset }) => {
      const mark = executable ? ',"executable":true' : ''
      text.add(`{"type":"regular","size":${size}${mark},"narOffset":${offset}}`)
    },
    symlink: (target, rawTarget) => {
      text.add(`{"type":"symlink","target":${quote(target, rawTarget)}}`)
    },
  })
  return {
    write: parser.write,
    end: () => {
      parser.end()
      text.add('}')
      return text.bytes()
    },
  }
}

function boundedText({ maxEntries, maxBytes }: ListingLimits) {
  let text = ''
  let bytes = 0
  let entries = 0
  return {
    add: (piece: string): void => {
      bytes += Buffer.byteLength(piece)
      if (bytes > maxBytes) {
        throw new NarListingError('too-large', `its listing is longer than ${maxBytes} bytes`)
      }
      text += piece
    },
    countEntry: (): void => {
      entries += 1
      if (entries > maxEntries) {
        throw new NarListingError('too-many-entries', `it has more than ${maxEntries} entries`)
      }
    },
    bytes: (): Buffer => Buffer.from(text),
  }
}

/** A name or target as a JSON string. */
function quote(text: string, raw: Uint8Array): string {
  // A text may have the replacement character of its own.
  if (text.includes('\ufffd') && !Buffer.from(text).equals(raw)) {
    throw new NarListingError('not-utf8', 'it has a name or a link target that is not UTF-8')
  }
  return JSON.stringify(text)
}
