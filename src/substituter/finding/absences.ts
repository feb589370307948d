import { LRUCache } from 'lru-cache'
import type { StorePathHash } from '../../nix/store-path.ts'
import type { Clock } from '../../ports/clock.ts'
import { expiryBy } from '../expiry.ts'

/** What upstreams certainly did not have a moment ago: they need not be asked again. That one could not tell is never kept here. */
export type Absences = {
  /** Whether an upstream said lately that it does not have a path. */
  has(upstream: string, hash: StorePathHash): boolean
  /** An upstream is asked from now on: what is returned notes that it does not have the path, unless that was to be forgotten meanwhile. */
  asking(upstream: string, hash: StorePathHash): () => void
  /** Forgets who does not have a path: somebody may have got it. Returns the upstreams that were believed not to. */
  forget(hash: StorePathHash): readonly string[]
  /** Forgets what an upstream did not have: it is another one now, though its name is the same. */
  forgetUpstream(upstream: string): void
  /** Forgets everything; returns how much that was. */
  clear(): number
}

export type AbsenceDeps = {
  readonly clock: Clock
  /** How long an upstream's word holds, in milliseconds; 0: it is not kept. */
  readonly ttlMs: (upstream: string) => number
}

/** Of one upstream: some 8 MB at the most. What was asked for longest ago goes first, and is asked for again. */
export const maxAbsences = 50_000

export function createAbsences({ clock, ttlMs }: AbsenceDeps): Absences {
  const byUpstream = new Map<string, LRUCache<StorePathHash, true>>()
  /** An answer to a question from before something was forgotten may be what is to be forgotten. */
  let forgotten = 0

  const note = (upstream: string, hash: StorePathHash): void => {
    const ttl = ttlMs(upstream)
    if (ttl === 0) return
    const known =
      byUpstream.get(upstream) ??
      new LRUCache<StorePathHash, true>({
        maxSize: maxAbsences,
        sizeCalculation: () => 1,
        ttl,
        ...expiryBy(clock),
      })
    byUpstream.set(upstream, known)
    known.set(hash, true, { ttl })
  }

  return {
    has: (upstream, hash) => byUpstream.get(upstream)?.get(hash) ?? false,
    asking(upstream, hash) {
      const before = forgotten
      return () => {
        if (forgotten === before) note(upstream, hash)
      }
    },
    forget(hash) {
      forgotten += 1
      return [...byUpstream].flatMap(([upstream, known]) => (known.delete(hash) ? [upstream] : []))
    },
    forgetUpstream(upstream) {
      forgotten += 1
      byUpstream.delete(upstream)
    },
    clear() {
      forgotten += 1
      const count = [...byUpstream.values()].reduce((sum, known) => sum + known.size, 0)
      byUpstream.clear()
      return count
    },
  }
}
