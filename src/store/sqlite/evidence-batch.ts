import type { ServedNar, ServedRecord, TrustEvent, TrustEventRecord } from '../../ports/evidence.ts'

/** What was handed out since the last write; `vouched` are the keys of all servings, as `name:base64`. */
export type NotedNar = ServedRecord & { readonly vouched: ReadonlySet<string> }

/** What was noted and is not written yet, merged: as few rows as can be. */
export type EvidenceBatch = {
  readonly nars: ReadonlyMap<string, NotedNar>
  readonly events: ReadonlyMap<string, TrustEventRecord>
  /** How many rows it holds. */
  size(): number
  noteNar(nar: ServedNar, nowMs: number): void
  noteEvent(event: TrustEvent, nowMs: number): void
  clear(): void
  /** How many notes found no room since it was asked last. */
  takeLost(): number
}

/** A batch of at most `maxRows` rows; what would need another is lost. */
export function createEvidenceBatch(maxRows: number): EvidenceBatch {
  const nars = new Map<string, NotedNar>()
  const events = new Map<string, TrustEventRecord>()
  let lost = 0
  const size = (): number => nars.size + events.size

  const note = <T>(
    rows: Map<string, T>,
    id: string,
    merged: (earlier: T | undefined) => T,
  ): void => {
    const earlier = rows.get(id)
    if (earlier === undefined && size() >= maxRows) lost += 1
    else rows.set(id, merged(earlier))
  }

  return {
    nars,
    events,
    size,
    noteNar(nar, nowMs) {
      const id = JSON.stringify([nar.hash, nar.path, nar.narHash, nar.client])
      note(nars, id, (earlier) => mergedNar(earlier, nar, nowMs))
    },
    noteEvent(event, nowMs) {
      const id = JSON.stringify([event.kind, event.hash, event.upstream, event.detail])
      note(events, id, (earlier) => ({ ...event, ...timesWith(earlier, nowMs) }))
    },
    clear() {
      nars.clear()
      events.clear()
    },
    takeLost() {
      const taken = lost
      lost = 0
      return taken
    },
  }
}

function mergedNar(earlier: NotedNar | undefined, nar: ServedNar, nowMs: number): NotedNar {
  const vouched = new Set([...(earlier?.vouched ?? []), ...nar.keys])
  return { ...nar, ...timesWith(earlier, nowMs), vouched }
}

type Times = Pick<ServedRecord, 'firstMs' | 'lastMs' | 'count'>

/* A clock may go backwards; then the latest time ever seen stays the last one. */
function timesWith(earlier: Times | undefined, nowMs: number): Times {
  if (earlier === undefined) return { firstMs: nowMs, lastMs: nowMs, count: 1 }
  return {
    firstMs: Math.min(earlier.firstMs, nowMs),
    lastMs: Math.max(earlier.lastMs, nowMs),
    count: earlier.count + 1,
  }
}
