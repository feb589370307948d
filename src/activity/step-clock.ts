/** Steps of time, and the slot that each has in a ring. */
export type StepClock = {
  /** The slot of the step that runs. */
  slotAt(nowMs: number): number
  /** The steps that are over, as far as they are kept, the latest last. */
  over(nowMs: number): readonly { readonly slot: number; readonly endMs: number }[]
}

export type StepClockOptions = {
  readonly startedMs: number
  readonly stepMs: number
  /** How many steps are kept besides the one that runs. */
  readonly steps: number
}

/** `begun` is told of each slot that a step takes, to be cleared. A clock that was set back stays in the step that it was in. */
export function createStepClock(
  { startedMs, stepMs, steps }: StepClockOptions,
  begun: (slot: number) => void,
): StepClock {
  const slots = steps + 1
  const first = Math.floor(startedMs / stepMs)
  let current = first
  const slotAt = (nowMs: number): number => {
    const step = Math.floor(nowMs / stepMs)
    if (step > current) {
      const oldest = Math.max(current + 1, step - steps)
      for (let next = oldest; next <= step; next += 1) begun(next % slots)
      current = step
    }
    return current % slots
  }
  return {
    slotAt,
    over(nowMs) {
      slotAt(nowMs)
      const oldest = Math.max(first, current - steps)
      return Array.from({ length: current - oldest }, (_, index) => {
        const step = oldest + index
        return { slot: step % slots, endMs: (step + 1) * stepMs }
      })
    },
  }
}
