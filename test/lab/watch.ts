/** Waiting for something to become true, tested whenever it may have changed: no polling, no clock. */
export type Watch = {
  /** Says that something changed. */
  readonly notify: () => void
  /** Resolves once the condition holds; rejects if it throws. */
  readonly until: (condition: () => boolean) => Promise<void>
}

/** Makes a watch. */
export function createWatch(): Watch {
  const watchers = new Set<() => void>()
  return {
    notify: () => {
      for (const watcher of watchers) watcher()
    },
    until: (condition) =>
      new Promise((resolve, reject) => {
        const watcher = () => {
          try {
            if (!condition()) return
            resolve()
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)))
          }
          watchers.delete(watcher)
        }
        watchers.add(watcher)
        watcher()
      }),
  }
}
