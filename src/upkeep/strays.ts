import { setImmediate } from 'node:timers/promises'
import { isSameFile, type NarFileKey, narFileName } from '../nix/nar-key.ts'
import type { Catalog } from '../ports/catalog.ts'
import type { NarStore, StoreEntry } from '../ports/nar-store.ts'

/** What lies in the store without belonging to anything; of each kind some are named. */
export type StrayReport = {
  readonly narsWithoutRecord: Strays
  readonly narinfosWithoutNar: Strays
  /** What Weir did not put into its folder, or put aside. */
  readonly others: Strays
}

export type Strays = { readonly count: number; readonly examples: readonly string[] }

type Deps = {
  readonly store: Pick<NarStore, 'open' | 'entries'>
  readonly catalog: Pick<Catalog, 'find'>
}

const maxExamples = 10
/** Entries between two turns of the event loop. */
const slice = 50

/** Looks through the store for what nothing refers to. It only reads. */
export async function findStrays(deps: Deps, signal: AbortSignal): Promise<StrayReport> {
  const report = {
    narsWithoutRecord: noStrays(),
    narinfosWithoutNar: noStrays(),
    others: noStrays(),
  }
  let entries = 0
  for await (const entry of deps.store.entries()) {
    entries += 1
    if (entries % slice === 0) await setImmediate()
    signal.throwIfAborted()
    const stray = await strayOf(deps, entry)
    if (stray !== null) note(report[stray.as], stray.name)
  }
  return report
}

type Noted = { count: number; examples: string[] }

function noStrays(): Noted {
  return { count: 0, examples: [] }
}

function note(strays: Noted, name: string): void {
  strays.count += 1
  if (strays.examples.length < maxExamples) strays.examples.push(name)
}

async function strayOf(
  { store, catalog }: Deps,
  entry: StoreEntry,
): Promise<{ readonly as: keyof StrayReport; readonly name: string } | null> {
  switch (entry.kind) {
    case 'nar': {
      if (await hasRecord(catalog, entry.key)) return null
      return { as: 'narsWithoutRecord', name: narFileName(entry.key) }
    }
    case 'narinfo': {
      const { hash, describes } = entry
      if (describes !== null && (await hasNar(store, describes))) return null
      return { as: 'narinfosWithoutNar', name: `${hash}.narinfo` }
    }
    case 'other':
      return { as: 'others', name: entry.path }
  }
}

async function hasRecord(catalog: Deps['catalog'], key: NarFileKey): Promise<boolean> {
  const records = await catalog.find(key.storePathHash)
  return records.some((record) => isSameFile(record.key, key))
}

async function hasNar(store: Deps['store'], key: NarFileKey): Promise<boolean> {
  const file = await store.open(key)
  await file?.close()
  return file !== null
}
