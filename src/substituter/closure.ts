import pLimit from 'p-limit'
import type { Narinfo } from '../nix/narinfo.ts'
import type { StorePath, StorePathHash } from '../nix/store-path.ts'

/** What is known of a path: a trusted narinfo, or why there is none, in words. */
export type PathLook =
  | { readonly kind: 'found'; readonly narinfo: Narinfo; readonly isStored: boolean }
  | { readonly kind: 'missing'; readonly why: string }

/** A path of a closure. */
export type ClosureMember = PathLook & { readonly path: StorePath }

/** More paths than any real closure has; who signs more wants to fill a memory. */
const maxMembers = 250_000
/** So many paths are looked for at the same time. */
const parallel = 16

/** A closure beyond any bounds. */
export class ClosureError extends Error {
  override readonly name = 'ClosureError'
}

/** Everything that a path refers to, through others too, itself first. What a missing path refers to is not known. */
export async function findClosure(
  root: StorePath,
  look: (path: StorePath) => Promise<PathLook>,
): Promise<readonly ClosureMember[]> {
  const members: ClosureMember[] = []
  const seen = new Set<StorePathHash>([root.hash])
  const limit = pLimit(parallel)
  for (let wave: readonly StorePath[] = [root]; wave.length > 0;) {
    const found = await Promise.all(
      wave.map((path) => limit(async () => ({ ...(await look(path)), path }))),
    )
    members.push(...found)
    wave = found
      .flatMap((member) => (member.kind === 'found' ? member.narinfo.references : []))
      .filter(({ hash }) => !seen.has(hash) && seen.add(hash))
    if (seen.size > maxMembers) {
      throw new ClosureError(`it refers to more than ${maxMembers} paths`)
    }
  }
  return members
}
