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
  const suspended = new Map(
    (await readSuspensions(file)).map((suspension) => [suspension.upstream, suspension]),
  )
  const list = (): readonly Suspension[] =>
    [...suspended.values()].toSorted((one, other) => one.sinceMs - other.sinceMs)
  const save = createSaver(file, list)
  let names: ReadonlySet<string> = new Set(suspended.keys())
  const changed = (): void => {
    names = new Set(suspended.keys())
  }
  return {
    names: () => names,
    list,
    async suspend(upstream, why, nowMs) {
      const isNew = !suspended.has(upstream)
      if (isNew) {
        suspended.set(upstream, { upstream, sinceMs: nowMs, why })
        changed()
      }
      await save()
      return isNew
    },
    async resume(upstream) {
      const before = suspended.get(upstream)
      if (before !== undefined) {
        suspended.delete(upstream)
        changed()
      }
      try {
        await save()
      } catch (error) {
        // What the file still says would come back at the next start: better now than by surprise.
        if (before !== undefined && !suspended.has(upstream)) {
          suspended.set(upstream, before)
          changed()
        }
        throw error
      }
      return before !== undefined
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
