/** What a trial saw: how often of what, and everything that was not as it must be. */
export type Tally = {
  readonly count: (what: string, times?: number) => void
  /** Notes a failure; a trial goes on after it. */
  readonly fail: (what: string) => void
  readonly counts: () => Readonly<Record<string, number>>
  readonly failures: readonly string[]
}

/** Makes an empty tally; `heard` is told of each failure as it comes. */
export function createTally(heard: (what: string) => void = () => undefined): Tally {
  const counts = new Map<string, number>()
  const failures: string[] = []
  return {
    count: (what, times = 1) => {
      counts.set(what, (counts.get(what) ?? 0) + times)
    },
    fail: (what) => {
      failures.push(what)
      heard(what)
    },
    counts: () => Object.fromEntries(counts),
    failures,
  }
}

/** The line that a trial ends with. */
export function summary(name: string, seed: number, { counts, failures }: Tally): string {
  const seen = Object.entries(counts()).map(([what, times]) => `${times} ${what}`)
  const outcome = failures.length === 0 ? 'held' : `FAILED (${failures.length})`
  return `${name}: ${outcome}: ${seen.join(', ')}; seed ${seed}`
}
