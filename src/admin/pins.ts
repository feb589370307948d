import { setImmediate } from 'node:timers/promises'
import type { StorePath, StorePathHash } from '../nix/store-path.ts'
import type { Catalog } from '../ports/catalog.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { Pin, Pins } from '../state/pins.ts'
import {
  ClosureError,
  type ClosureMember,
  findClosure,
  type PathLook,
} from '../substituter/closure.ts'
import type { Fetched } from '../substituter/fetch-path.ts'
import type { StoreKeeper } from '../keeper/store-keeper.ts'

/** What pinning a path came to. Sizes are bytes on disk. */
export type PinReport = {
  /** `<hash>-<name>` */
  readonly path: string
  /** False where it was pinned already: then its closure was looked up again. */
  readonly isNew: boolean
  /** How many paths its closure has, as far as it is known. */
  readonly paths: number
  /** Those of them that are to be fetched: trusted, and not stored. */
  readonly wanted: readonly { readonly hash: StorePathHash; readonly path: string }[]
  /** Those that cannot be had, and why, in words. */
  readonly missing: readonly { readonly path: string; readonly why: string }[]
}

/** A pin, and what of it is stored. */
export type PinState = {
  readonly path: string
  readonly sinceMs: number
  /** How many paths its closure has, as far as it is known … */
  readonly paths: number
  /** … how many of them are stored … */
  readonly stored: number
  /** … what these take on disk … */
  readonly storedBytes: number
  /** … and of how many it is not known what they refer to. */
  readonly unresolved: number
}

/** All pins; closures may share paths, so that the sum of the pins may be more than is pinned. */
export type PinList = {
  readonly pins: readonly PinState[]
  readonly pinnedBytes: number
  /** What the cache may take. */
  readonly limitBytes: number
}

/** What an operator does with pins: a pinned path stays in the cache with all that it refers to, whatever room that takes. */
export type Pinning = {
  /** Pins a path that is trusted; what of its closure is not stored is to be fetched next. Throws a `PinError` where it is not. */
  pin(hash: StorePathHash): Promise<PinReport>
  /** Fetches one path of a closure. Throws a `PinError` where it is in none. */
  fetch(hash: StorePathHash): Promise<Fetched>
  /** Lets go of a path; `<hash>-<name>`, or `null` where it was not pinned. */
  unpin(hash: StorePathHash): Promise<string | null>
  list(): Promise<PinList>
}

/** What cannot be pinned; the message is for people. */
export class PinError extends Error {
  override readonly name = 'PinError'
}

export type PinningDeps = {
  readonly pins: Pins
  readonly catalog: Pick<Catalog, 'find'>
  readonly keeper: Pick<StoreKeeper, 'pinsChanged' | 'room' | 'tend'>
  readonly clock: Clock
  readonly log: Log
  /** What is known of a path, by the policy of now. */
  readonly look: (hash: StorePathHash) => Promise<PathLook>
  readonly fetch: (hash: StorePathHash) => Promise<Fetched>
}

const sliceHashes = 50

export function createPinning(deps: PinningDeps): Pinning {
  const { pins, keeper, log } = deps
  return {
    async pin(hash) {
      const root = await rootOf(deps, hash)
      const members = await closureOf(deps, root)
      const before = pins.list().find((pin) => pin.hash === hash)
      const isNew = await pins.pin(pinOf(root, members, before, deps.clock.nowMs()))
      await keeper.pinsChanged()
      log.info({ event: 'pin.made', path: root.baseName, paths: members.length })
      warnWhereTooLarge(deps)
      // What was stored a moment ago may have been evicted before it was pinned.
      const wanted = await notStored(deps, members)
      const missing = members.flatMap((member) =>
        member.kind === 'missing' ? [{ path: member.path.baseName, why: member.why }] : [],
      )
      return { path: root.baseName, isNew, paths: members.length, wanted, missing }
    },
    async fetch(hash) {
      if (!pins.has(hash)) throw new PinError(`${hash} is in the closure of no pin`)
      const fetched = await deps.fetch(hash)
      warnWhereTooLarge(deps)
      return fetched
    },
    async unpin(hash) {
      const pin = await pins.unpin(hash)
      if (pin === null) return null
      log.info({ event: 'pin.removed', path: pin.path })
      await keeper.pinsChanged()
      await keeper.tend()
      return pin.path
    },
    async list() {
      const states: PinState[] = []
      for (const pin of pins.list()) states.push(await stateOf(deps, pin))
      await keeper.pinsChanged()
      const { pinned, limit } = keeper.room()
      return { pins: states, pinnedBytes: pinned, limitBytes: limit }
    },
  }
}

/** The path of a hash: nothing is pinned that is not trusted, a recalled path least of all. */
async function rootOf({ look }: PinningDeps, hash: StorePathHash): Promise<StorePath> {
  const found = await look(hash)
  if (found.kind === 'found') return found.narinfo.storePath
  throw new PinError(`${hash} cannot be pinned: ${found.why}`)
}

async function closureOf(
  { look }: PinningDeps,
  root: StorePath,
): Promise<readonly ClosureMember[]> {
  try {
    return await findClosure(root, (path) => look(path.hash))
  } catch (error) {
    if (!(error instanceof ClosureError)) throw error
    throw new PinError(`${root.baseName} cannot be pinned: ${error.message}`, { cause: error })
  }
}

/** A pin with all that is known of its closure, by now or from before: what could not be asked for this time stays. */
function pinOf(
  root: StorePath,
  members: readonly ClosureMember[],
  before: Pin | undefined,
  nowMs: number,
): Pin {
  const known = new Set(before?.closure)
  for (const hash of before?.unresolved ?? []) known.delete(hash)
  const unresolved = members
    .filter(({ kind, path }) => kind === 'missing' && !known.has(path.hash))
    .map(({ path }) => path.hash)
  const closure = new Set([...members.map(({ path }) => path.hash), ...(before?.closure ?? [])])
  return {
    ...{ path: root.baseName, hash: root.hash, sinceMs: nowMs },
    ...{ closure: [...closure], unresolved },
  }
}

async function notStored(
  { catalog }: PinningDeps,
  members: readonly ClosureMember[],
): Promise<PinReport['wanted']> {
  const wanted: { readonly hash: StorePathHash; readonly path: string }[] = []
  for (const { kind, path } of members) {
    if (kind === 'missing' || (await catalog.find(path.hash)).length > 0) continue
    wanted.push({ hash: path.hash, path: path.baseName })
  }
  return wanted
}

async function stateOf({ catalog }: PinningDeps, pin: Pin): Promise<PinState> {
  let [stored, storedBytes, seen] = [0, 0, 0]
  for (const hash of pin.closure) {
    const records = await catalog.find(hash)
    stored += records.length > 0 ? 1 : 0
    for (const { diskBytes } of records) storedBytes += diskBytes
    seen += 1
    // Requests go first.
    if (seen % sliceHashes === 0) await setImmediate()
  }
  const { path, sinceMs, closure, unresolved } = pin
  const counts = { paths: closure.length, stored, storedBytes, unresolved: unresolved.length }
  return { path, sinceMs, ...counts }
}

function warnWhereTooLarge({ keeper, log }: PinningDeps): void {
  const { pinned, limit } = keeper.room()
  if (pinned > limit) {
    log.warn({ event: 'pins.too-large', pinnedBytes: pinned, limitBytes: limit })
  }
}
