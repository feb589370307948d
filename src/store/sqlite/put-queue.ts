import type { StoredNar } from '../../ports/catalog.ts'

/** Records that wait to be written together. */
export type PutQueue = {
  /** Resolves once the record is written, and rejects where it cannot be. */
  put(stored: StoredNar): Promise<void>
  /** Writes what waits now, so that whoever reads next finds it. */
  flush(): void
}

type Waiting = {
  readonly stored: StoredNar
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** Gathers what is put during one turn of the event loop; `write` writes all of it, or throws and has written nothing. */
export function createPutQueue(write: (records: readonly StoredNar[]) => void): PutQueue {
  let waiting: Waiting[] = []
  let scheduled: NodeJS.Immediate | undefined

  const flush = (): void => {
    clearImmediate(scheduled)
    scheduled = undefined
    const batch = waiting
    waiting = []
    if (batch.length === 0) return
    try {
      write(batch.map(({ stored }) => stored))
    } catch (error) {
      for (const { reject } of batch) reject(error)
      return
    }
    for (const { resolve } of batch) resolve()
  }
  return {
    flush,
    put: (stored) =>
      new Promise((resolve, reject) => {
        waiting.push({ stored, resolve, reject })
        scheduled ??= setImmediate(flush)
      }),
  }
}
