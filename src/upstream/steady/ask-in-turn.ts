/** What one of several said; `root` is the one that was asked. */
export type Said<Root, Answer> =
  | { readonly kind: 'answered'; readonly root: Root; readonly answer: Answer }
  | { readonly kind: 'failed'; readonly root: Root; readonly error: unknown }

export type InTurn<Root, Answer> = {
  /** Asks one; its signal aborts when another one's answer was enough. */
  readonly ask: (root: Root, signal: AbortSignal) => Promise<Answer>
  /** Whether nobody else need be asked, or waited for. */
  readonly isEnough: (said: Said<Root, Answer>) => boolean
  /** Resolves with whether the next one is to be asked, though this one has not answered yet; the signal aborts when it has. */
  readonly isSlow: (root: Root, signal: AbortSignal) => Promise<boolean>
}

/**
 * Asks one after another, in the order given, until one's answer is enough: the next one where one failed or said too little, or is slow.
 * Resolves with what was said, the last of it last; rejects only where the signal aborted.
 */
export function askInTurn<Root, Answer>(
  roots: readonly Root[],
  { ask, isEnough, isSlow }: InTurn<Root, Answer>,
  signal: AbortSignal,
): Promise<readonly Said<Root, Answer>[]> {
  const { promise, resolve, reject } = Promise.withResolvers<readonly Said<Root, Answer>[]>()
  const running = new Set<AbortController>()
  const all: Said<Root, Answer>[] = []
  let asked = 0
  let isOver = false

  const end = (): void => {
    isOver = true
    for (const other of running) other.abort(new Error('another one has answered'))
    resolve(all)
  }
  const take = (said: Said<Root, Answer>): void => {
    if (isOver) return
    all.push(said)
    if (isEnough(said)) {
      end()
    } else if (signal.aborted) {
      isOver = true
      reject(said.kind === 'failed' ? (said.error as Error) : (signal.reason as Error))
    } else {
      askNext()
    }
  }
  const askNext = (): void => {
    const root = roots[asked]
    if (root === undefined) {
      if (running.size === 0) end()
      return
    }
    asked += 1
    const own = new AbortController()
    const answered = new AbortController()
    running.add(own)
    const ended = (said: Said<Root, Answer>): void => {
      running.delete(own)
      answered.abort()
      take(said)
    }
    ask(root, AbortSignal.any([signal, own.signal])).then(
      (answer) => {
        ended({ kind: 'answered', root, answer })
      },
      (error: unknown) => {
        ended({ kind: 'failed', root, error })
      },
    )
    if (asked === roots.length) return
    isSlow(root, AbortSignal.any([answered.signal, own.signal])).then(
      (isLate) => {
        if (isLate && !isOver && running.has(own)) askNext()
      },
      () => undefined,
    )
  }
  askNext()
  return promise
}
