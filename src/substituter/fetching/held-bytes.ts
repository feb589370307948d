/** The memory that NARs may take which are held until they are verified, and cannot be written down. */
export type HeldBytes = {
  /** Waits for so much of it, each in turn. One that wants more than there is gets it once nobody else has any. */
  take(bytes: number, signal: AbortSignal): Promise<HeldShare>
}

export type HeldShare = {
  /** So much of it is still needed; what is more than before changes nothing. */
  shrinkTo(bytes: number): void
}

type Waiting = { readonly bytes: number; readonly start: () => void }

export function createHeldBytes(totalBytes: number): HeldBytes {
  let used = 0
  let waiting: readonly Waiting[] = []
  const startNext = (): void => {
    for (let [next] = waiting; next !== undefined; [next] = waiting) {
      if (used > 0 && used + next.bytes > totalBytes) return
      waiting = waiting.slice(1)
      used += next.bytes
      next.start()
    }
  }
  return {
    async take(bytes, signal) {
      signal.throwIfAborted()
      const turn = Promise.withResolvers<undefined>()
      const entry = {
        bytes,
        start: () => {
          turn.resolve(undefined)
        },
      }
      const leave = (): void => {
        if (!waiting.includes(entry)) return
        waiting = waiting.filter((each) => each !== entry)
        turn.reject(signal.reason as Error)
        startNext()
      }
      signal.addEventListener('abort', leave, { once: true })
      waiting = [...waiting, entry]
      startNext()
      await turn.promise
      signal.removeEventListener('abort', leave)
      let held = bytes
      return {
        shrinkTo(needed) {
          if (needed >= held) return
          used -= held - needed
          held = needed
          startNext()
        },
      }
    },
  }
}
