/** Verifications that nobody waits for yet: one at a time, but for those that somebody does wait for. */
export type VerificationQueue = {
  /** Runs it when its turn comes, under a name. */
  add<Result>(name: string, verify: () => Promise<Result>): Promise<Result>
  /** How many have not begun. */
  waiting(): number
  /** Somebody waits for this one: it runs at once. */
  hurry(name: string): void
}

type Waiting = { readonly name: string; readonly start: () => void }

export function createVerificationQueue(): VerificationQueue {
  let waiting: readonly Waiting[] = []
  let running = 0
  const startNext = (): void => {
    const [next, ...rest] = waiting
    if (next === undefined || running > 0) return
    waiting = rest
    next.start()
  }
  return {
    async add(name, verify) {
      const turn = Promise.withResolvers<undefined>()
      const start = (): void => {
        running += 1
        turn.resolve(undefined)
      }
      waiting = [...waiting, { name, start }]
      startNext()
      await turn.promise
      try {
        return await verify()
      } finally {
        running -= 1
        startNext()
      }
    },
    waiting: () => waiting.length,
    hurry(name) {
      const wanted = waiting.filter((each) => each.name === name)
      waiting = waiting.filter((each) => each.name !== name)
      for (const { start } of wanted) start()
    },
  }
}
