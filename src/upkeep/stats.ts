import { packageOf } from '../policy/package-name.ts'
import type { Catalog, StoredNar } from '../ports/catalog.ts'
import { recordPages } from './record-pages.ts'
import { baseNameOf, narBytesOf } from './stored-name.ts'

/** What is stored, in numbers; bytes, and milliseconds since the Unix epoch. */
export type StoreStats = Sums & {
  readonly upstreams: readonly NamedSums[]
  /** Those that take the most. */
  readonly packages: readonly NamedSums[]
  /** How many packages there are. */
  readonly packageCount: number
  readonly oldestUseMs: number | null
  readonly newestUseMs: number | null
}

export type Sums = {
  readonly nars: number
  /** Before compression. */
  readonly narBytes: number
  readonly fileBytes: number
}

export type NamedSums = Sums & { readonly name: string }

/** Counts what is recorded, page by page; `top` packages are named. */
export async function storeStats(
  catalog: Pick<Catalog, 'page'>,
  top: number,
  signal: AbortSignal,
): Promise<StoreStats> {
  const all = new Counted()
  const upstreams = new Map<string, Counted>()
  const packages = new Map<string, Counted>()
  let [oldest, newest] = [Infinity, -Infinity]
  for await (const page of recordPages(catalog, signal)) {
    for (const stored of page) {
      const name = baseNameOf(stored)?.slice(33)
      for (const counted of [
        all,
        countedOf(upstreams, stored.upstream),
        countedOf(packages, name === undefined ? '?' : packageOf(name)),
      ]) {
        counted.add(stored)
      }
      oldest = Math.min(oldest, stored.usedAtMs)
      newest = Math.max(newest, stored.usedAtMs)
    }
  }
  return {
    ...all.sums(),
    upstreams: largest(upstreams, Infinity),
    packages: largest(packages, top),
    packageCount: packages.size,
    oldestUseMs: all.sums().nars === 0 ? null : oldest,
    newestUseMs: all.sums().nars === 0 ? null : newest,
  }
}

class Counted {
  #nars = 0
  #narBytes = 0
  #fileBytes = 0

  add(stored: StoredNar): void {
    this.#nars += 1
    this.#narBytes += narBytesOf(stored) ?? 0
    this.#fileBytes += stored.fileBytes
  }

  sums(): Sums {
    return { nars: this.#nars, narBytes: this.#narBytes, fileBytes: this.#fileBytes }
  }
}

function countedOf(all: Map<string, Counted>, name: string): Counted {
  const known = all.get(name)
  if (known !== undefined) return known
  const counted = new Counted()
  all.set(name, counted)
  return counted
}

function largest(all: ReadonlyMap<string, Counted>, top: number): readonly NamedSums[] {
  return [...all]
    .map(([name, counted]) => ({ name, ...counted.sums() }))
    .toSorted((one, other) => other.fileBytes - one.fileBytes || (one.name < other.name ? -1 : 1))
    .slice(0, top)
}
