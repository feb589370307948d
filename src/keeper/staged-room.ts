import type { StagedNar } from '../ports/nar-store.ts'
import type { CacheSize } from './cache-size.ts'

/** A file that a NAR is being written to, and the room that it takes in the cache until it is kept or disposed of. */
export type StagedRoom = StagedNar & {
  /** Says that the file has so many bytes, or will have; fewer than said before change nothing. */
  reserve(bytes: number): void
  /** Gives the room up: the file is counted by others now. */
  release(): void
}

/**
 * Counts the room of a staged file, up to `mostBytes`: nobody knows yet whether it is what was promised, or small enough to be kept, and one
 * file must not take the place of all others. `grown` is told of each byte that comes.
 */
export function stageIn(
  size: CacheSize,
  staged: StagedNar,
  { mostBytes, grown }: { readonly mostBytes: number; readonly grown: (bytes: number) => void },
): StagedRoom {
  let told = 0
  let reserved = 0
  let isReleased = false
  const release = (): void => {
    size.reserve(-reserved)
    reserved = 0
    isReleased = true
  }
  return {
    path: staged.path,
    noteEtag: (key, etag) => staged.noteEtag(key, etag),
    open: () => staged.open(),
    commit: (key, narinfo) => staged.commit(key, narinfo),
    reserve(bytes) {
      const more = bytes - told
      if (isReleased || more <= 0) return
      told = bytes
      const counted = Math.min(bytes, Math.max(reserved, mostBytes))
      size.reserve(counted - reserved)
      reserved = counted
      grown(more)
    },
    release,
    async [Symbol.asyncDispose]() {
      await staged[Symbol.asyncDispose]()
      release()
    },
  }
}
