import { LRUCache } from 'lru-cache'
import { isSameNar, type NarFileKey, narFileName } from '../nix/nar-key.ts'
import { type StorePathHash } from '../nix/store-path.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { Meter } from '../ports/meter.ts'
import { expiryBy } from './expiry.ts'
import type { PathFinder } from './finding/find-path.ts'
import type { Inquiry } from './finding/inquiry.ts'
import { type NarEncoding, namedFile } from './finding/named-file.ts'
import { narKeyOf } from './finding/render-narinfo.ts'
import type { Transfers } from './fetching/transfers.ts'

/**
 * Brings in a few NARs before they are asked for. A client first asks for the narinfos of a whole closure, then for its NARs, one by one
 * where it is an old one: while it unpacks one, the next is fetched and verified. Nothing is read ahead for a client that only asks
 * for narinfos.
 */
export type ReadAhead = {
  /** A client got the narinfo of a path that is not stored. */
  noted(client: string, hash: StorePathHash): void
  /** A client asks for a NAR. */
  asked(client: string, key: NarFileKey): void
}

export type ReadAheadDeps = {
  readonly finder: Pick<PathFinder, 'known' | 'records'>
  readonly transfers: Pick<Transfers, 'running' | 'start' | 'count'>
  readonly encoding: () => NarEncoding
  /** So many NARs at once, for all clients; 0: none. */
  readonly limit: () => number
  /** With so many transfers running, whoever asks has the places. */
  readonly busyAt: number
  readonly clock: Clock
  readonly log: Log
  readonly meter: Pick<Meter, 'narReadAhead'>
  readonly stopping: AbortSignal
}

type Reader = { readonly client: string; readonly noted: Set<StorePathHash>; askedAtMs: number }

const maxClients = 256
const maxNoted = 10_000
/** Of all clients. */
const maxNotedInAll = 100_000
const notedMs = 10 * 60_000
/** A client that asks for nothing more has what it wants, or is gone. */
const idleMs = 5000
/** What takes long is sent as it comes once it is asked for. */
const maxNarBytes = 128n * 1024n * 1024n
/** So many of those noted last are looked at for one whose references are on their way. */
const maxLookedAt = 100

export function createReadAhead(deps: ReadAheadDeps): ReadAhead {
  const readers = new LRUCache<string, Reader>({
    max: maxClients,
    maxSize: maxNotedInAll,
    sizeCalculation: ({ noted }) => 1 + noted.size,
    ttl: notedMs,
    ...expiryBy(deps.clock),
  })
  const ahead = new Set<string>()

  const readerOf = (client: string): Reader => {
    const known = readers.get(client)
    if (known !== undefined) return known
    const made = { client, noted: new Set<StorePathHash>(), askedAtMs: 0 }
    readers.set(client, made)
    return made
  }

  const fill = (reader: Reader): void => {
    // Thousands that nobody knows of any more must not be gone through while others wait.
    for (let looked = 0; looked < maxLookedAt; looked += 1) {
      if (ahead.size >= deps.limit() || deps.transfers.count() >= deps.busyAt) return
      const hash = next(deps, reader.noted)
      if (hash === null) return
      reader.noted.delete(hash)
      const found = trusted(deps, hash)
      if (found !== null && !ahead.has(narFileName(found.key))) bring(reader, found)
    }
  }

  const bring = (reader: Reader, { key, inquiry }: Found): void => {
    const name = narFileName(key)
    ahead.add(name)
    void start(deps, key, inquiry, reader.client)
      .catch((error: unknown) => {
        if (!deps.stopping.aborted) deps.log.error({ event: 'internal.error', err: error })
      })
      .finally(() => {
        ahead.delete(name)
        const isWaiting = deps.clock.nowMs() - reader.askedAtMs < idleMs
        if (isWaiting && !deps.stopping.aborted) fill(reader)
      })
  }

  return {
    noted(client, hash) {
      if (deps.limit() === 0) return
      const reader = readerOf(client)
      const { noted } = reader
      noted.delete(hash)
      noted.add(hash)
      const [oldest] = noted
      if (noted.size > maxNoted && oldest !== undefined) noted.delete(oldest)
      // Its size is taken when it is set anew.
      readers.delete(client)
      readers.set(client, reader)
    },
    asked(client, key) {
      const reader = readers.get(client)
      if (reader === undefined) return
      reader.noted.delete(key.storePathHash)
      reader.askedAtMs = deps.clock.nowMs()
      fill(reader)
    },
  }
}

type Found = { readonly key: NarFileKey; readonly inquiry: Inquiry }

/** References come before what refers to them: of those noted last, the first whose references are none of those that wait. */
function next(deps: ReadAheadDeps, noted: ReadonlySet<StorePathHash>): StorePathHash | null {
  const latest = [...noted].slice(-maxLookedAt).toReversed()
  return latest.find((hash) => !waitsForOthers(deps, hash, noted)) ?? latest[0] ?? null
}

function waitsForOthers(
  { finder }: ReadAheadDeps,
  hash: StorePathHash,
  noted: ReadonlySet<StorePathHash>,
): boolean {
  const [answer] = finder.known(hash)?.trusted() ?? []
  const references = answer?.verdict.narinfo.references ?? []
  return references.some((reference) => reference.hash !== hash && noted.has(reference.hash))
}

function trusted({ finder, encoding }: ReadAheadDeps, hash: StorePathHash): Found | null {
  const inquiry = finder.known(hash)
  const [answer] = inquiry?.trusted() ?? []
  if (inquiry === null || answer === undefined) return null
  const { narinfo } = answer.verdict
  if (narinfo.narSize > maxNarBytes) return null
  const { compression } = namedFile(encoding(), narinfo, null)
  return { key: { ...narKeyOf(narinfo), compression }, inquiry }
}

/** Resolves when the NAR is kept, or will not be. */
async function start(
  deps: ReadAheadDeps,
  key: NarFileKey,
  inquiry: Inquiry,
  client: string,
): Promise<void> {
  const records = await deps.finder.records(key.storePathHash)
  if (records.some((stored) => isSameNar(stored.key, key))) return
  const running = deps.transfers.running(key)
  if (running === null) deps.meter.narReadAhead()
  const { ended } = running ?? deps.transfers.start(key, inquiry, client)
  await ended
}
