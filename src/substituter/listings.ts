/**
 * Listings of stored NARs. They are made here, from NARs that were verified, never taken from an upstream: nobody signs them. What is
 * remembered is the listing of a content; whether its path is trusted is asked anew for each answer.
 */
import { LRUCache } from 'lru-cache'
import pLimit from 'p-limit'
import { isSameNar, type NarFileKey, narFileName } from '../nix/nar-key.ts'
import type { StorePathHash } from '../nix/store-path.ts'
import type { TrustedAnswer } from '../policy/answer.ts'
import type { Policy } from '../policy/policy.ts'
import type { Log } from '../ports/log.ts'
import type { ListOutcome, NarPart, NarReader, StoredFile } from '../ports/nar-reader.ts'
import type { NarFile, NarStore } from '../ports/nar-store.ts'
import type { NoClaim } from './serving/answers.ts'
import type { PathFinder } from './finding/find-path.ts'
import { createSharedWork } from './shared-work.ts'
import type { StoreKeeper } from '../keeper/store-keeper.ts'
import { findStoredNow, type StoredNow } from './serving/stored-now.ts'
import { underOnePolicy } from './serving/under-one-policy.ts'

export type ListingAnswer =
  | {
      readonly kind: 'found'
      /** The `.ls` file. */
      readonly listing: Uint8Array
      readonly key: NarFileKey
      readonly answer: TrustedAnswer
    }
  /** It is trusted, but cannot be listed; in words. */
  | { readonly kind: 'unlistable'; readonly why: string }
  /** No NAR of it is here; none is fetched for a listing. */
  | { readonly kind: 'not-stored' }
  | NoClaim

export type Listings = {
  list(hash: StorePathHash, signal: AbortSignal): Promise<ListingAnswer>
  /** A part of a NAR that `list` named; `null` where it is not stored and trusted any more. */
  read(
    key: NarFileKey,
    part: NarPart,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array> | null>
  /** A NAR of the path came or went. */
  changed(hash: StorePathHash): void
  policyChanged(): void
}

export type ListingDeps = {
  readonly policy: () => Policy
  readonly finder: PathFinder
  readonly store: NarStore
  readonly keeper: Pick<StoreKeeper, 'drop'>
  readonly reader: NarReader
  readonly log: Log
}

const maxRememberedBytes = 32 * 1024 * 1024
/** A listing decodes a whole NAR, and may take twice 64 MiB of memory: the others wait. */
const maxAtOnce = 2

type Outcome = ListOutcome | { readonly kind: 'gone' }
type Remembered = {
  readonly key: NarFileKey
  readonly outcome: Extract<Outcome, { kind: 'listed' | 'unlistable' }>
}

export function createListings(deps: ListingDeps): Listings {
  const remembered = new LRUCache<StorePathHash, Remembered>({
    maxSize: maxRememberedBytes,
    sizeCalculation: ({ outcome }) =>
      500 + (outcome.kind === 'listed' ? outcome.listing.length : outcome.why.length),
  })
  const inTurn = pLimit(maxAtOnce)
  const work = createSharedWork<Outcome>()

  const outcomeFor = async (found: StoredNow, signal: AbortSignal): Promise<Outcome> => {
    const { key } = found.stored
    const known = remembered.get(key.storePathHash)
    if (known !== undefined && isSameNar(known.key, key)) return known.outcome
    const outcome = await work.share(narFileName(key), signal, (shared) =>
      inTurn(() => listFile(deps, found, shared)),
    )
    if (outcome.kind === 'listed' || outcome.kind === 'unlistable') {
      remembered.set(key.storePathHash, { key, outcome })
    }
    return outcome
  }

  const find = async (hash: StorePathHash, signal: AbortSignal): Promise<ListingAnswer> => {
    const found = await findStoredNow(deps, hash)
    if (found === null) return { kind: 'not-stored' }
    if ('slots' in found) return found
    const outcome = await outcomeFor(found, signal)
    switch (outcome.kind) {
      case 'listed': {
        const { stored, answer } = found
        return { kind: 'found', listing: outcome.listing, key: stored.key, answer }
      }
      case 'unlistable':
        return outcome
      case 'corrupt':
      case 'gone':
        return { kind: 'not-stored' }
    }
  }

  return {
    list: (hash, signal) => underOnePolicy(deps, () => find(hash, signal)),
    async read(key, part, signal) {
      const found = await findStoredNow(deps, key.storePathHash)
      const isHere = found !== null && 'stored' in found && isSameNar(found.stored.key, key)
      const file = isHere ? await openWhole(deps, found) : null
      return isHere && file !== null
        ? readAndClose(deps, storedFile(found, file), file, part, signal)
        : null
    },
    changed(hash) {
      remembered.delete(hash)
    },
    policyChanged() {
      remembered.clear()
    },
  }
}

async function listFile(
  deps: ListingDeps,
  found: StoredNow,
  signal: AbortSignal,
): Promise<Outcome> {
  signal.throwIfAborted()
  const file = await openWhole(deps, found)
  if (file === null) return { kind: 'gone' }
  try {
    const { narinfo } = found.answer.verdict
    const outcome = await deps.reader.list(storedFile(found, file), narinfo, signal)
    if (outcome.kind === 'corrupt') await dropDamaged(deps, found, outcome.why)
    return outcome
  } finally {
    await file.close()
  }
}

/** The file of a NAR; where somebody removed or cut it behind Weir's back, `null`, and its record goes. */
async function openWhole({ store, keeper }: ListingDeps, { stored }: StoredNow) {
  const file = await store.open(stored.key)
  if (file !== null && (await file.size()) === stored.fileBytes) return file
  await file?.close()
  await keeper.drop(stored)
  return null
}

/** What is no more what was verified is fetched again by whoever wants it next. */
async function dropDamaged(
  { keeper, log }: ListingDeps,
  { stored }: StoredNow,
  why: string,
): Promise<void> {
  log.error({ event: 'nar.damaged', nar: stored.key, why })
  await keeper.drop(stored)
}

function storedFile({ stored }: StoredNow, file: NarFile): StoredFile {
  return { file, compression: stored.key.compression }
}

async function* readAndClose(
  { reader }: ListingDeps,
  stored: StoredFile,
  file: NarFile,
  part: NarPart,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  try {
    yield* reader.read(stored, part, signal)
  } finally {
    await file.close()
  }
}
