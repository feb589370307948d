import type { StorePathHash } from '../nix/store-path.ts'
import { formatPins, type Pin, readPins } from './pins-file.ts'
import { replacePrivateFile } from './replace-private-file.ts'

export type { Pin } from './pins-file.ts'

/** What is pinned: kept with its closure, whatever room it takes, until an operator unpins it. */
export type Pins = {
  /** Those pinned longest ago first. */
  list(): readonly Pin[]
  /** Whether a hash is in the closure of a pin. */
  has(hash: StorePathHash): boolean
  /** Every hash that is. */
  hashes(): Iterable<StorePathHash>
  /**
   * Pins at once, and resolves when that is durable; to false where the path was pinned, which takes the new closure and keeps its time. A
   * rejection means that it is not durable: it holds in memory, and the next call writes it.
   */
  pin(pin: Pin): Promise<boolean>
  /**
   * Lets go of a path, and resolves when that is durable; to the pin that it was, `null` where there was none. Where that cannot be made
   * durable it is pinned again, and the promise rejects.
   */
  unpin(hash: StorePathHash): Promise<Pin | null>
}

/** Opens the pins in a file, which need not be there. Throws a StateFileError where it is damaged. */
export async function openPins(file: string): Promise<Pins> {
  let pins = await readPins(file)
  let pinned = hashesOf(pins)
  const set = (next: readonly Pin[]): void => {
    pins = next
    pinned = hashesOf(next)
  }
  const without = (hash: StorePathHash): readonly Pin[] => pins.filter((pin) => pin.hash !== hash)
  const save = createSaver(file, () => pins)
  return {
    list: () => pins,
    has: (hash) => pinned.has(hash),
    hashes: () => pinned,
    async pin(pin) {
      const before = pins.find(({ hash }) => hash === pin.hash)
      const same = { ...pin, sinceMs: before?.sinceMs ?? pin.sinceMs }
      set([...without(pin.hash), same].toSorted((one, other) => one.sinceMs - other.sinceMs))
      await save()
      return before === undefined
    },
    async unpin(hash) {
      const before = pins.find((pin) => pin.hash === hash) ?? null
      if (before === null) return null
      set(without(hash))
      try {
        await save()
      } catch (error) {
        // What the file still says would come back at the next start: better now than by surprise.
        set([...without(hash), before])
        throw error
      }
      return before
    },
  }
}

function hashesOf(pins: readonly Pin[]): ReadonlySet<StorePathHash> {
  return new Set(pins.flatMap(({ closure }) => closure))
}

/** Saves the pins of when its turn comes, one after the other; what the file has already is not written again. */
function createSaver(file: string, pins: () => readonly Pin[]): () => Promise<void> {
  let saved: readonly Pin[] | null = pins()
  let last: Promise<void> = Promise.resolve()
  const saveNow = async (): Promise<void> => {
    const now = pins()
    if (now === saved) return
    // Where writing fails, nobody knows what the file has.
    saved = null
    await replacePrivateFile(file, formatPins(now))
    saved = now
  }
  return () => {
    // The failure of an earlier turn is told to whoever asked for it.
    last = last.then(saveNow, saveNow)
    return last
  }
}
