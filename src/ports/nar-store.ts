import type { NarFileKey } from '../nix/nar-key.ts'
import type { StorePathHash } from '../nix/store-path.ts'

/** A NAR's file that can be read while it is renamed or removed. */
export type NarFile = {
  /** The open file's descriptor, for worker threads of this process; of use until `close`. */
  readonly fd: number
  /** Bytes in the file now. */
  size(): Promise<number>
  /** Reads into `buffer` from `position`; returns the bytes read, 0 at the end. */
  read(buffer: Uint8Array, position: number): Promise<number>
  close(): Promise<void>
}

/** A file that a NAR is being written to. Disposing of it removes it, unless it was committed. */
export type StagedNar = AsyncDisposable & {
  /** Where to write, in a file system that a worker thread reaches. */
  readonly path: string
  /** Leaves a note of what its readers got a part of, which `interrupted` tells after a crash. */
  noteEtag(key: NarFileKey, etag: string): Promise<void>
  /** Opens it for reading what was written so far. */
  open(): Promise<NarFile>
  /** Makes it durable under its key, with the narinfo that describes it; once. Resolves to the bytes that both take on disk. */
  commit(key: NarFileKey, narinfo: string): Promise<number>
}

/** What a NAR takes on disk, with the narinfo that describes it, and when its file was written last. */
export type MeasuredNar = { readonly diskBytes: number; readonly modifiedMs: number }

/** The file system that a store is in: what Weir may still write to it, and all of it, in bytes. */
export type DiskSpace = { readonly freeBytes: number; readonly totalBytes: number }

/** What lies in the store, whether anything is recorded of it or not. */
export type StoreEntry =
  | { readonly kind: 'nar'; readonly key: NarFileKey }
  /** `describes` is the NAR file that its URL names; `null` where it names none of the store's. */
  | {
      readonly kind: 'narinfo'
      readonly hash: StorePathHash
      readonly describes: NarFileKey | null
    }
  /** What Weir did not put there, or put aside; its path in the store. */
  | { readonly kind: 'other'; readonly path: string }

/** The NARs that were verified, and their narinfos. */
export type NarStore = {
  /** A new, empty file to write a NAR to. */
  stage(): Promise<StagedNar>
  /** The files that were handed out in part when Weir ended, a moment ago, and were not kept: their ETags, with quotes. */
  readonly interrupted: readonly { readonly key: NarFileKey; readonly etag: string }[]
  /** Where a stored NAR's file is, in a file system that a worker thread reaches; it may be gone at any time. */
  pathOf(key: NarFileKey): string
  /** A stored NAR's file; `null` where it is not stored. */
  open(key: NarFileKey): Promise<NarFile | null>
  /** The stored narinfo of a store path, within the bounds of the format; `null` where there is none. */
  describe(hash: StorePathHash): Promise<Uint8Array | null>
  /** Removes a NAR and the narinfo that describes it; readers that have it open are not disturbed. */
  remove(key: NarFileKey): Promise<void>
  /** What a NAR takes on disk; `null` where it is not stored. */
  measure(key: NarFileKey): Promise<MeasuredNar | null>
  /**
   * Replaces the narinfo that describes a stored NAR by what `edit` makes of it; false where no narinfo describes this NAR.
   */
  redescribe(key: NarFileKey, edit: (narinfo: string) => string): Promise<boolean>
  /** Moves a NAR that is wrong to where it is never served from, with a note of why, and removes the narinfo that describes it. */
  quarantine(key: NarFileKey, why: string): Promise<void>
  /** Everything in the store, in any order; what comes or goes meanwhile may be missed. */
  entries(): AsyncIterable<StoreEntry>
  space(): Promise<DiskSpace>
  /** Writes a small file and removes it, as a NAR is written: rejects where that cannot be done. */
  tryOut(): Promise<void>
}
