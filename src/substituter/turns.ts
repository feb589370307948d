import type { StorePathHash } from '../nix/store-path.ts'

/** Runs what changes the files and records of one store path alone, one after the other in the order of the calls. */
export type Turns = <T>(hash: StorePathHash, act: () => Promise<T>) => Promise<T>

export function createTurns(): Turns {
  const last = new Map<StorePathHash, Promise<unknown>>()
  return (hash, act) => {
    const before = last.get(hash) ?? Promise.resolve()
    const mine = before.then(act, act)
    const ended = mine
      .catch(() => undefined)
      .finally(() => {
        if (last.get(hash) === ended) last.delete(hash)
      })
    last.set(hash, ended)
    return mine
  }
}
