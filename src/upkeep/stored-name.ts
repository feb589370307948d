import { parseBaseName } from '../nix/store-path.ts'
import type { StoredNar } from '../ports/catalog.ts'

const claimPattern = /^StorePath: .*\/([^/\n]+)$/gm
const sizePattern = /^NarSize: (\d{1,16})$/gm

/*
 * A list of a million paths has no time for whole narinfos: two fields of a claim that was read, and judged, when it was stored. Of a
 * field that is given twice the last counts.
 */

/** A stored path as `<hash>-<name>`; `null` where its claim does not say. */
export function baseNameOf({ key, claim }: StoredNar): string | null {
  const path = parseBaseName(lastOf(claim, claimPattern) ?? '')
  return path?.hash === key.storePathHash ? path.baseName : null
}

/** The bytes of a stored NAR before compression; `null` where its claim does not say. */
export function narBytesOf({ claim }: StoredNar): number | null {
  const size = lastOf(claim, sizePattern)
  return size === null ? null : Number(size)
}

function lastOf(claim: Uint8Array, pattern: RegExp): string | null {
  const text = Buffer.from(claim.buffer, claim.byteOffset, claim.byteLength).toString('latin1')
  return [...text.matchAll(pattern)].at(-1)?.[1] ?? null
}
