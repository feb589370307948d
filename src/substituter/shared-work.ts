/** Work that is done once for all who want its result at the same time. */
export type SharedWork<Result> = {
  /** The result of the work of that name, which is started where it does not run. It is aborted once nobody waits for it any more. */
  share(
    name: string,
    signal: AbortSignal,
    start: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result>
}

type Running<Result> = {
  readonly result: Promise<Result>
  readonly abort: AbortController
  waiting: number
}

export function createSharedWork<Result>(): SharedWork<Result> {
  const running = new Map<string, Running<Result>>()

  const begin = (
    name: string,
    start: (signal: AbortSignal) => Promise<Result>,
  ): Running<Result> => {
    const abort = new AbortController()
    const work: Running<Result> = { abort, waiting: 0, result: start(abort.signal) }
    running.set(name, work)
    const end = (): void => {
      if (running.get(name) === work) running.delete(name)
    }
    work.result.then(end, end)
    return work
  }

  return {
    async share(name, signal, start) {
      signal.throwIfAborted()
      const work = running.get(name) ?? begin(name, start)
      work.waiting += 1
      const left = Promise.withResolvers<never>()
      const leave = (): void => {
        left.reject(signal.reason as Error)
      }
      signal.addEventListener('abort', leave, { once: true })
      try {
        return await Promise.race([work.result, left.promise])
      } finally {
        signal.removeEventListener('abort', leave)
        work.waiting -= 1
        if (work.waiting === 0) {
          // Who comes now must not get the abort of those who left.
          if (running.get(name) === work) running.delete(name)
          work.abort.abort()
        }
      }
    },
  }
}
