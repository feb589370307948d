/** Whose turn it is to be taken: clients take turns, and of one group only so many run at once. */
export type Turn = {
  readonly client: string
  /** `null`: of no group. */
  readonly group: string | null
}

export type FairQueueOptions = {
  /** Tasks that run at the same time. */
  readonly places: number
  /** So many of them of one group; all of them where it is not given. */
  readonly placesOfGroup?: () => number
}

/** Tasks that wait for places: in turn between clients, first come first served among one client's. */
export type FairQueue = {
  /**
   * Runs a task when its turn comes. Where it has to wait, the signal is asked for, and rejects with its reason what it aborts before the
   * task began.
   */
  run<Result>(
    turn: Turn,
    task: () => Promise<Result>,
    waitingSignal: () => AbortSignal,
  ): Promise<Result>
  /** How many tasks run, and how many wait. */
  load(): QueueLoad
}

export type QueueLoad = { readonly running: number; readonly waiting: number }

type Waiting = { readonly group: string | null; readonly begin: () => void }

export function createFairQueue({ places, placesOfGroup }: FairQueueOptions): FairQueue {
  /** In the order in which the clients' turns come. */
  const clients = new Map<string, Set<Waiting>>()
  const runningOf = new Map<string, number>()
  let running = 0

  const isFull = (group: string | null): boolean =>
    group !== null && (runningOf.get(group) ?? 0) >= (placesOfGroup?.() ?? places)
  const isFree = (group: string | null): boolean => running < places && !isFull(group)
  const count = (group: string | null, change: 1 | -1): void => {
    running += change
    if (group === null) return
    const now = (runningOf.get(group) ?? 0) + change
    if (now === 0) runningOf.delete(group)
    else runningOf.set(group, now)
  }

  const next = (): Waiting | null => {
    for (const [client, waiting] of clients) {
      for (const each of waiting) {
        if (isFull(each.group)) continue
        remove(client, each)
        // Its next turn comes after the others'.
        if (clients.delete(client) && waiting.size > 0) clients.set(client, waiting)
        return each
      }
    }
    return null
  }
  const remove = (client: string, each: Waiting): void => {
    const waiting = clients.get(client)
    if (waiting?.delete(each) === true && waiting.size === 0) clients.delete(client)
  }
  const fill = (): void => {
    while (running < places) {
      const waiting = next()
      if (waiting === null) return
      count(waiting.group, 1)
      waiting.begin()
    }
  }

  const turnOf = ({ client, group }: Turn, signal: AbortSignal): Promise<undefined> => {
    signal.throwIfAborted()
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        remove(client, each)
        reject(signal.reason as Error)
      }
      const each: Waiting = {
        group,
        begin: () => {
          signal.removeEventListener('abort', giveUp)
          resolve(undefined)
        },
      }
      signal.addEventListener('abort', giveUp, { once: true })
      const waiting = clients.get(client)
      if (waiting === undefined) clients.set(client, new Set([each]))
      else waiting.add(each)
    })
  }

  return {
    async run(turn, task, waitingSignal) {
      // Where there is a place nobody waits who could take it.
      if (isFree(turn.group)) count(turn.group, 1)
      else await turnOf(turn, waitingSignal())
      try {
        return await task()
      } finally {
        count(turn.group, -1)
        fill()
      }
    },
    load: () => ({
      running,
      waiting: [...clients.values()].reduce((sum, waiting) => sum + waiting.size, 0),
    }),
  }
}
