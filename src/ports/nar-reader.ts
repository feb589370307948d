import type { DecodableCompression } from '../nix/compression.ts'
import type { Narinfo } from '../nix/narinfo.ts'
import type { NarFile } from './nar-store.ts'

/** What a file must hold: the parts of a narinfo that speak of its NAR. */
export type PromisedNar = Pick<Narinfo, 'storePath' | 'narHash' | 'narSize' | 'ca'>

/** A stored NAR's file, which stays open until the reader is done with it. */
export type StoredFile = {
  readonly file: Pick<NarFile, 'fd'>
  readonly compression: DecodableCompression
}

/** What came of listing a stored NAR. */
export type ListOutcome =
  /** The `.ls` file, of a NAR that has the NarHash and NarSize that were promised. */
  | { readonly kind: 'listed'; readonly listing: Uint8Array }
  /** The file is not, or not any more, the NAR that was promised. */
  | { readonly kind: 'corrupt'; readonly why: string }
  /** It is, but cannot be listed. */
  | { readonly kind: 'unlistable'; readonly why: string }

/** A part of a NAR, in bytes. */
export type NarPart = { readonly offset: number; readonly size: number }

/** Reads stored NARs, off the main thread. It throws only what is Weir's own failure; the file may be closed once it is done. */
export type NarReader = {
  list(stored: StoredFile, promised: PromisedNar, signal: AbortSignal): Promise<ListOutcome>
  /** Whether the file is whole and holds exactly the NAR that was promised, its CA included. */
  verify(stored: StoredFile, promised: PromisedNar, signal: AbortSignal): Promise<boolean>
  /** The bytes of a part, as fast as they are taken; a file that ends or breaks before its end throws. */
  read(stored: StoredFile, part: NarPart, signal: AbortSignal): AsyncIterable<Uint8Array>
}
