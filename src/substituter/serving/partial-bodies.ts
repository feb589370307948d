import { LRUCache } from 'lru-cache'
import { type NarFileKey, narFileName } from '../../nix/nar-key.ts'
import type { Clock } from '../../ports/clock.ts'
import { expiryBy } from '../expiry.ts'

/** Which representations were handed out in part lately: whoever resumes wants the rest of the same one. Clients say no If-Range. */
export type PartialBodies = {
  note(key: NarFileKey, etag: string): void
  /** Whether a resume can be answered from the representation with this ETag: nobody got a part of another one. */
  fits(key: NarFileKey, etag: string): boolean
}

/** A client that was cut off comes again within seconds. */
const resumeMs = 10 * 60_000
const maxFiles = 10_000

export function createPartialBodies(
  clock: Clock,
  interrupted: readonly { readonly key: NarFileKey; readonly etag: string }[] = [],
): PartialBodies {
  const etags = new LRUCache<string, ReadonlySet<string>>({
    max: maxFiles,
    ttl: resumeMs,
    ...expiryBy(clock),
  })
  const note = (key: NarFileKey, etag: string): void => {
    const name = narFileName(key)
    etags.set(name, new Set([...(etags.get(name) ?? []), etag]))
  }
  for (const { key, etag } of interrupted) note(key, etag)
  return {
    note,
    fits(key, etag) {
      const noted = etags.get(narFileName(key))
      return noted === undefined || (noted.size === 1 && noted.has(etag))
    },
  }
}
