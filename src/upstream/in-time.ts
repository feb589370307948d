/** What is waited for, unless the signal is aborted first; what comes all the same goes to `tooLate`. */
export function inTime<T>(
  pending: Promise<T>,
  signal: AbortSignal,
  tooLate: (value: T) => void = () => undefined,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      reject(signal.reason as Error)
    }
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort, { once: true })
    const unlisten = (): void => {
      signal.removeEventListener('abort', abort)
    }
    pending.then(unlisten, unlisten)
    pending.then((value) => {
      if (signal.aborted) tooLate(value)
      resolve(value)
    }, reject)
  })
}
