import type { StorePathHash } from '../nix/store-path.ts'
import type { NarFileKey } from '../nix/nar-key.ts'

/** A claim as its upstream sent it, with its signatures: judged again before it is answered. */
export type StoredClaim = {
  readonly upstream: string
  readonly claim: Uint8Array
}

/** A NAR in the store, and the claim that it was verified against. */
export type StoredNar = StoredClaim & {
  readonly key: NarFileKey
  /** What other upstreams said of it, and was equal: a rule may want several. */
  readonly witnesses: readonly StoredClaim[]
  /** The content address that the file was held against, as in a narinfo's CA; `null` where there was none. */
  readonly verifiedCa: string | null
  /**
   * The policy's `choiceEpoch` under which nobody could still have had a better claim; `null` where somebody could. Under any other the
   * upstreams are asked again.
   */
  readonly certainIn: string | null
  readonly fileBytes: number
  /** What the file takes on disk, with the narinfo that describes it. */
  readonly diskBytes: number
  /** sha256 of the file, as `sha256:nix32`. */
  readonly fileHash: string
  /** With its quotes. */
  readonly etag: string
  readonly storedAtMs: number
  readonly usedAtMs: number
}

/** A record before it is known what its file takes on disk. */
export type UnmeasuredNar = Omit<StoredNar, 'diskBytes'>

/** What eviction goes by. */
export type UsedNar = Pick<StoredNar, 'key' | 'diskBytes' | 'usedAtMs'>

/** What to look for, and where: among so many records (`span`) that were recorded before the one at `before`, or the latest. */
export type CatalogSearch = {
  /** A part of the store path's name; empty for any. */
  readonly text: string
  readonly before: number | null
  readonly span: number
}

export type CatalogFindings = {
  /** Those recorded last first, with their places; among them may be some whose names do not have the text. */
  readonly found: readonly { readonly place: number; readonly stored: StoredNar }[]
  /** The place before which to look next; `null` where nothing is left. */
  readonly next: number | null
}

/** The index over the store: derived, so that losing it costs nothing but time. */
export type Catalog = {
  /** All NARs of a store path, most recently stored first; usually one. */
  find(hash: StorePathHash): Promise<readonly StoredNar[]>
  /** Records a NAR, or replaces the record of the same key; resolves to the `diskBytes` of the replaced one, `null` where there was none. */
  put(stored: StoredNar): Promise<number | null>
  /** Records those whose key has no record, all at once; returns them. */
  putMissing(stored: readonly StoredNar[]): Promise<readonly StoredNar[]>
  /** Notes uses; keys without a record are passed over. */
  touch(keys: readonly NarFileKey[], usedAtMs: number): Promise<void>
  /** Removes a record; resolves to its `diskBytes`, `null` where there was none. */
  remove(key: NarFileKey): Promise<number | null>
  /** How many NARs there are, and the bytes that they take on disk. */
  totals(): Promise<{ readonly count: number; readonly bytes: number }>
  /** At most `limit` records, those used longest ago first, that come after the one of `after`; from the first where it is `null`. */
  leastRecentlyUsed(limit: number, after: UsedNar | null): Promise<readonly UsedNar[]>
  /** At most `limit` records, in an order of their own, that come after the one of `after`; from the first where it is `null`. */
  page(after: NarFileKey | null, limit: number): Promise<readonly StoredNar[]>
  /** Looks through a part of the records, which takes as long as it is. */
  search(search: CatalogSearch): Promise<CatalogFindings>
  /** Whether it was made anew and may lack records of what is stored: until `rebuilt`. */
  isRebuildDue(): Promise<boolean>
  /** Notes that everything that is stored was looked through. */
  rebuilt(): Promise<void>
  close(): Promise<void>
}
