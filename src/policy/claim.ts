import type { Narinfo } from '../nix/narinfo.ts'
import { parseNarinfo } from '../nix/narinfo.ts'
import type { StorePathHash } from '../nix/store-path.ts'
import type { Policy } from './policy.ts'

/** The narinfo that an upstream offers for a hash: well-formed, bounded, and about the path that was asked for. */
export type Claim = {
  readonly upstream: string
  readonly narinfo: Narinfo
  /** The narinfo as the upstream sent it. */
  readonly text: Uint8Array
}

/** A claim, or why there is none: what is malformed is *unknown*, never absent. */
export type ClaimReading =
  | { readonly kind: 'claim'; readonly claim: Claim }
  | { readonly kind: 'malformed'; readonly reason: string }

/** Reads an upstream's answer for `hash`: the first step of the verdict. */
export function readClaim(
  policy: Policy,
  upstream: string,
  hash: StorePathHash,
  text: Uint8Array,
): ClaimReading {
  const parsed = parseNarinfo(text, policy.storeDir)
  if (parsed.kind === 'malformed') {
    const place = parsed.field === null ? '' : `${parsed.field}: `
    return { kind: 'malformed', reason: `${place}${parsed.reason}` }
  }
  const { narinfo } = parsed
  if (narinfo.storePath.hash !== hash) {
    return {
      kind: 'malformed',
      reason: `StorePath: is another path's, ${narinfo.storePath.baseName}`,
    }
  }
  if (narinfo.narSize > BigInt(policy.maxNarBytes)) {
    return { kind: 'malformed', reason: `NarSize: above the limit of ${policy.maxNarBytes} bytes` }
  }
  return { kind: 'claim', claim: { upstream, narinfo, text } }
}
