import type { PublicKey } from '../nix/signature.ts'
import type { StoreDir } from '../nix/store-path.ts'

/** An upstream as the policy sees it: who it is, and which keys may vouch for what it offers. */
export type PolicyUpstream = {
  readonly name: string
  readonly keys: readonly PublicKey[]
  /** Its outage counts as "does not have it". */
  readonly optional: boolean
}

/** Everything that a verdict depends on. A new object is a new policy epoch: whatever is kept is judged again. */
export type Policy = {
  readonly storeDir: StoreDir
  /** In order of preference. */
  readonly upstreams: readonly PolicyUpstream[]
  /** The largest NarSize that a claim may have, in bytes. */
  readonly maxNarBytes: number
}
