import { createWatch } from './watch.ts'

/** A place where something waits until a test lets it on: synchronisation without a clock. */
export type Gate = {
  /** Waits until the gate is open or lets this one through. */
  readonly pass: () => Promise<void>
  /** Lets everyone through from now on. */
  readonly open: () => void
  /** Lets the next `count` through, whether they wait already or come later. */
  readonly admit: (count: number) => void
  /** Resolves once `count` (1 unless told) have come to the gate since it was made. */
  readonly reached: (count?: number) => Promise<void>
}

/** Makes a closed gate. */
export function createGate(): Gate {
  let admitted = 0
  let arrived = 0
  const watch = createWatch()
  const admit = (count: number) => {
    admitted += count
    watch.notify()
  }
  return {
    pass: () => {
      arrived += 1
      const turn = arrived
      watch.notify()
      return watch.until(() => turn <= admitted)
    },
    open: () => {
      admit(Infinity)
    },
    admit,
    reached: (count = 1) => watch.until(() => arrived >= count),
  }
}
