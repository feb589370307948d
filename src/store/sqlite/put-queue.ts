import type { StoredNar } from '../../ports/catalog.ts'

/** Records that wait to be written together. */
export type PutQueue = {
  /** Resolves once the record is written, to what `write` said of it, and rejects where it cannot be. */
  put(stored: StoredNar): Promise<number | null>
  /** Writes what waits now, so that whoever reads next finds it. */
  flush(): void
}

type Waiting = {
  readonly stored: StoredNar
  readonly resolve: (replaced: number | null) => void
  readonly reject: (error: unknown) => void
}

/**
 * Gathers what is put during one turn of the event loop; `write` writes all of it, or throws and has written nothing. It returns what each
 * record replaced, in their order.
 */
export function createPutQueue(
  write: (records: readonly StoredNar[]) => readonly (number | null)[],
): PutQueue {
  let waiting: Waiting[] = []
  let scheduled: NodeJS.Immediate | undefined

  const flush = (): void => {
    clearImmediate(scheduled)
    scheduled = undefined
    const batch = waiting
    waiting = []
    if (batch.length === 0) return
    let replaced: readonly (number | null)[]
    try {
      replaced = write(batch.map(({ stored }) => stored))
    } catch (error) {
      for (const { reject } of batch) reject(error)
      return
    }
    for (const [index, { resolve }] of batch.entries()) resolve(replaced[index] ?? null)
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
