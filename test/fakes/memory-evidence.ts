import { packageOf } from '../../src/policy/package-name.ts'
import type { Clock } from '../../src/ports/clock.ts'
import type {
  Evidence,
  ServedNar,
  ServedQuery,
  ServedRecord,
  TrustEvent,
} from '../../src/ports/evidence.ts'
import { createFixedClock } from './fixed-clock.ts'

/** Evidence that is gone with the test. */
export type MemoryEvidence = Evidence & {
  /** What was handed out, one entry a time, in order. */
  readonly servedNars: readonly ServedNar[]
  /** What happened, one entry a time, in order. */
  readonly events: readonly TrustEvent[]
}

type Times = Pick<ServedRecord, 'firstMs' | 'lastMs' | 'count'>

export function createMemoryEvidence(clock: Clock = createFixedClock()): MemoryEvidence {
  const servedNars: ServedNar[] = []
  const events: TrustEvent[] = []
  const narTimes: number[] = []
  const eventTimes: number[] = []
  let isClosed = false
  const find = <T>(act: () => readonly T[], limit: number): Promise<readonly T[]> =>
    isClosed
      ? Promise.reject(new Error('the evidence is closed'))
      : Promise.resolve(act().slice(0, limit))

  return {
    servedNars,
    events,
    served(nar) {
      servedNars.push(nar)
      narTimes.push(clock.nowMs())
    },
    happened(event) {
      events.push(event)
      eventTimes.push(clock.nowMs())
    },
    findServed: (query, limit) =>
      find(() => latestFirst(matching(servedNars, narTimes, query)), limit),
    findEvents: (hash, limit) =>
      find(() => {
        const about = latestFirst(merge(events, eventTimes, eventId))
        return about.filter((event) => hash === null || event.hash === hash)
      }, limit),
    flush: () => Promise.resolve(),
    close() {
      isClosed = true
      return Promise.resolve()
    },
  }
}

const narId = ({ hash, path, narHash, client }: ServedNar): string =>
  [hash, path, narHash, client].join('\n')

const eventId = (event: TrustEvent): string =>
  [event.kind, event.hash, event.upstream, event.detail].join('\n')

function merge<T>(
  noted: readonly T[],
  times: readonly number[],
  idOf: (each: T) => string,
): (T & Times)[] {
  const records = new Map<string, T & Times>()
  for (const [index, each] of noted.entries()) {
    const nowMs = times[index] ?? 0
    const earlier = records.get(idOf(each)) ?? { firstMs: nowMs, lastMs: nowMs, count: 0 }
    records.set(idOf(each), {
      ...each,
      firstMs: Math.min(earlier.firstMs, nowMs),
      lastMs: Math.max(earlier.lastMs, nowMs),
      count: earlier.count + 1,
    })
  }
  return [...records.values()]
}

function latestFirst<T extends Times>(records: readonly T[]): readonly T[] {
  return records.toSorted((one, other) => other.lastMs - one.lastMs)
}

function matching(
  nars: readonly ServedNar[],
  times: readonly number[],
  query: ServedQuery,
): readonly ServedRecord[] {
  const vouched = vouchedBytes(nars)
  return merge(nars, times, narId).filter((record) =>
    matches(record, query, vouched.get(narId(record)) ?? new Set()),
  )
}

function vouchedBytes(nars: readonly ServedNar[]): ReadonlyMap<string, ReadonlySet<string>> {
  const bytes = new Map<string, Set<string>>()
  for (const nar of nars) {
    const known = bytes.get(narId(nar)) ?? new Set()
    for (const key of nar.keys) known.add(key.slice(key.indexOf(':') + 1))
    bytes.set(narId(nar), known)
  }
  return bytes
}

function matches(record: ServedRecord, query: ServedQuery, vouched: ReadonlySet<string>): boolean {
  const { package: wanted, keyBytes, ...fields } = query
  const name = record.path.slice(record.hash.length + 1)
  return (
    (wanted === undefined || packageOf(name) === wanted) &&
    (keyBytes === undefined || vouched.has(keyBytes)) &&
    (fields.hash === undefined || record.hash === fields.hash) &&
    (fields.path === undefined || record.path === fields.path) &&
    (fields.narHash === undefined || record.narHash === fields.narHash) &&
    (fields.client === undefined || record.client === fields.client)
  )
}
