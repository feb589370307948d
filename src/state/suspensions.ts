import { replacePrivateFile } from './replace-private-file.ts'
import { formatSuspensions, readSuspensions, type Suspension } from './suspensions-file.ts'

/** Which upstreams are suspended: remembered over restarts, until an operator resumes them. */
export type Suspensions = {
  /** The same set until something changes. */
  names(): ReadonlySet<string>
  /** Those suspended longest ago first. */
  list(): readonly Suspension[]
  /**
   * Suspends an upstream at once, and resolves when that is durable; to false where it already was, whose time and reason stay. A
   * rejection means that it is not durable: it holds in memory, and the next call writes it.
   */
  suspend(upstream: string, why: string, nowMs: number): Promise<boolean>
  /**
   * Resumes an upstream at once, and resolves when that is durable; to false where it was not suspended. Where that cannot be
   * made durable it is suspended again, and the promise rejects.
   */
  resume(upstream: string): Promise<boolean>
}

/** Opens the suspensions in a file, which need not be there. Throws a StateFileError where it is damaged. */
export async function openSuspensions(file: string): Promise<Suspensions> {
  const held = holdSuspensions(await readSuspensions(file))
  const save = createSaver(file, held.list)
  return {
    names: held.names,
    list: held.list,
    async suspend(upstream, why, nowMs) {
      const isNew = held.add({ upstream, sinceMs: nowMs, why })
      await save()
      return isNew
    },
    async resume(upstream) {
      const before = held.remove(upstream)
      try {
        await save()
      } catch (error) {
        // What the file still says would come back at the next start: better now than by surprise.
        if (before !== null) held.add(before)
        throw error
      }
      return before !== null
    },
  }
}

type HeldSuspensions = Pick<Suspensions, 'names' | 'list'> & {
  /** False where the upstream is suspended already: then nothing changes. */
  add(suspension: Suspension): boolean
  /** What it was, `null` where it was not suspended. */
  remove(upstream: string): Suspension | null
}

function holdSuspensions(initial: readonly Suspension[]): HeldSuspensions {
  const suspended = new Map(initial.map((suspension) => [suspension.upstream, suspension]))
  let names: ReadonlySet<string> = new Set(suspended.keys())
  const changed = (): void => {
    names = new Set(suspended.keys())
  }
  return {
    names: () => names,
    list: () => [...suspended.values()].toSorted((one, other) => one.sinceMs - other.sinceMs),
    add(suspension) {
      if (suspended.has(suspension.upstream)) return false
      suspended.set(suspension.upstream, suspension)
      changed()
      return true
    },
    remove(upstream) {
      const before = suspended.get(upstream)
      if (before === undefined) return null
      suspended.delete(upstream)
      changed()
      return before
    },
  }
}

/** Saves what is suspended when its turn comes, one after the other; what the file has already is not written again. */
function createSaver(file: string, list: () => readonly Suspension[]): () => Promise<void> {
  let saved: string | null = formatSuspensions(list())
  let last: Promise<void> = Promise.resolve()

  const saveNow = async (): Promise<void> => {
    const text = formatSuspensions(list())
    if (text === saved) return
    // Where writing fails, nobody knows what the file has.
    saved = null
    await replacePrivateFile(file, text)
    saved = text
  }
  return () => {
    // The failure of an earlier turn is told to whoever asked for it.
    last = last.then(saveNow, saveNow)
    return last
  }
}
