import type { StorePathHash } from '../nix/store-path.ts'

/** A NAR that was handed out to a client, and who answered for it. */
export type ServedNar = {
  readonly hash: StorePathHash
  /** The store path's base name. */
  readonly path: string
  /** 52 nix32 characters of sha256. */
  readonly narHash: string
  /** The client's address. */
  readonly client: string
  readonly upstream: string
  /** The keys that vouched, as `name:base64`; none where a content address did. */
  readonly keys: readonly string[]
  /** The rule's name; `null` where no rule matched. */
  readonly rule: string | null
  /** The policy epoch in which it was handed out last. */
  readonly epoch: string
}

/** What is kept of it: one record for each path, NAR and client. */
export type ServedRecord = ServedNar & {
  readonly firstMs: number
  readonly lastMs: number
  readonly count: number
}

/** What happened that an operator should know of. */
export type TrustEventKind =
  /** Trusted claims for one hash are not equal. */
  | 'divergence'
  /** A signed name for a hash contradicts a better one. */
  | 'lying-name'
  /** A signature fails under a key that Weir holds. */
  | 'bad-signature'
  /** An upstream gave a NAR that is not the one that it claimed. */
  | 'wrong-nar'
  /** Report only: what the policy would have refused. */
  | 'would-refuse'
  | 'upstream-suspended'
  | 'upstream-resumed'
  | 'recall'
  | 'recall-lifted'

export type TrustEvent = {
  readonly kind: TrustEventKind
  readonly hash: StorePathHash | null
  readonly upstream: string | null
  /** In words, for people: the same text for the same thing. */
  readonly detail: string
}

/** What is kept of it: one record for each different event. */
export type TrustEventRecord = TrustEvent & {
  readonly firstMs: number
  readonly lastMs: number
  readonly count: number
}

/** So many different events of a kind are kept, the latest: what a hostile upstream can cause must not fill a disk. */
export const maxEventsOfKind = 20_000

/** Which records of what was handed out are meant; all that are given must hold. */
export type ServedQuery = {
  readonly hash?: StorePathHash
  readonly path?: string
  readonly narHash?: string
  /** The package of the path's name, as Nix splits it. */
  readonly package?: string
  /** The base64 of a key's bytes, whatever its name. */
  readonly keyBytes?: string
  readonly client?: string
}

/** What was handed out to whom, and what happened: what a recall and an explanation rest on. It is not derived from anything. */
export type Evidence = {
  /** Notes it in memory; it is durable within a second. Never throws: what cannot be written is told to the log. */
  served(nar: ServedNar): void
  /** Notes an event, as `served` does. */
  happened(event: TrustEvent): void
  /** Records of what was handed out, those of the latest time first; what was only noted yet is included. */
  findServed(query: ServedQuery, limit: number): Promise<readonly ServedRecord[]>
  /** Events about a hash, or about anything where it is `null`, the latest first. */
  findEvents(hash: StorePathHash | null, limit: number): Promise<readonly TrustEventRecord[]>
  /** Makes durable what was noted. */
  flush(): Promise<void>
  close(): Promise<void>
}
