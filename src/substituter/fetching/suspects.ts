import { LRUCache } from 'lru-cache'
import { type NarFileKey, narFileName, type NarKey, narName } from '../../nix/nar-key.ts'
import type { StorePathHash } from '../../nix/store-path.ts'
import type { Clock } from '../../ports/clock.ts'
import type { NarSource, SourceFailure } from '../../ports/nar-ingest.ts'
import { expiryBy } from '../expiry.ts'

/** After how many wrong NARs in a row a source is left out, and for how long after the last one. */
export type Patience = { readonly times: number; readonly pauseMs: number }

/**
 * A small NAR is soon fetched again, and its connection may have been cut where nobody saw it: whoever tries five times gets it once its
 * source is right again: at the latest with the third try, which Nix makes 0.75 to 1 s after the first.
 */
export const lenient: Patience = { times: 3, pauseMs: 700 }

/** Clients try five times within seconds, for which a large NAR is not fetched each time: the pause grows with it, up to 20 s. */
export function strict(narBytes: number): Patience {
  return { times: 1, pauseMs: Math.min(20_000, 1000 + narBytes / strictBytesPerMs) }
}

/** 20 s are reached at 380 MB. */
const strictBytesPerMs = 20_000

/** Which upstreams gave a wrong NAR lately, and which bodies were broken off for it. */
export type Suspects = {
  /** `earlier` are the failures of this NAR's sources so far. */
  note(key: NarKey, failure: SourceFailure, earlier: readonly SourceFailure[]): void
  /** A body of this NAR was handed out in part, and was wrong. */
  noteBroken(key: NarFileKey): void
  /** Whether a resume of this NAR's body may be of one that was wrong: it must not be completed. */
  wasBroken(key: NarFileKey): boolean
  /** Forgets which upstreams gave wrong NARs of a path; whether there were any. Bodies that were broken off stay so. */
  forget(hash: StorePathHash): boolean
  /** The sources to try: suspects last, and for a while not at all. */
  order(key: NarKey, sources: readonly NarSource[], patience: Patience): readonly NarSource[]
}

const suspectedMs = 60 * 60_000
/** Within this time a failure and the next one are in a row. */
const rowMs = 20_000

/** A failure, and how many there were in a row, each soon after the one before. */
type Wrong = { readonly atMs: number; readonly times: number }

/** Within this time a client that was cut off has come again, or has given up. */
const brokenMs = 2 * 60_000
const maxSuspects = 10_000

export function createSuspects(clock: Clock): Suspects {
  const corrupt = new LRUCache<string, Wrong>({
    max: maxSuspects,
    ttl: suspectedMs,
    ...expiryBy(clock),
  })
  const brokenAt = new LRUCache<string, number>({
    max: maxSuspects,
    ttl: brokenMs,
    ...expiryBy(clock),
  })
  const nameOf = (key: NarKey, upstream: string): string => `${upstream}/${narName(key)}`
  const isWithin = (ms: number, { atMs }: Wrong): boolean => clock.nowMs() - atMs <= ms
  return {
    note(key, failure, earlier) {
      if (failure.kind !== 'corrupt') return
      // Who began is as likely wrong as who differs from it, and has failed besides.
      const wrong = failure.code === 'prefix-mismatch' ? earlier.filter(mayHaveBegun) : [failure]
      for (const { upstream } of wrong) {
        const name = nameOf(key, upstream)
        const before = corrupt.get(name)
        const isNext = before !== undefined && isWithin(rowMs, before)
        const times = isNext ? before.times + 1 : 1
        corrupt.set(name, { atMs: clock.nowMs(), times })
      }
    },
    noteBroken(key) {
      brokenAt.set(narFileName(key), clock.nowMs())
    },
    forget(hash) {
      const names = [...corrupt.keys()].filter((name) => name.includes(`/${hash}-`))
      for (const name of names) corrupt.delete(name)
      return names.length > 0
    },
    wasBroken: (key) => brokenAt.has(narFileName(key)),
    order(key, sources, patience) {
      const wrongOf = (source: NarSource) => corrupt.get(nameOf(key, source.upstream))
      const clean = sources.filter((source) => wrongOf(source) === undefined)
      const suspected = sources.filter((source) => {
        const wrong = wrongOf(source)
        return (
          wrong !== undefined &&
          (wrong.times < patience.times || !isWithin(patience.pauseMs, wrong))
        )
      })
      return [...clean, ...suspected]
    },
  }
}

/** Codes of failures before the first byte. */
const unbegun = new Set(['absent', 'connect', 'status', 'outpaced'])

function mayHaveBegun({ code }: SourceFailure): boolean {
  return !unbegun.has(code)
}
