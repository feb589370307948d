export type LinkOptions = { readonly bitsPerSecond: number; readonly oneWayMs: number }

/** One direction of a network: what is sent arrives in order, at its rate, after its delay. */
export type Link = {
  /** Calls `arrived` once so many bytes are through. */
  readonly send: (bytes: number, arrived: () => void) => void
}

type Waiting = { readonly dueMs: number; readonly arrived: () => void }

/** Makes a link. It keeps a clock of when the wire is free and one timer, so that it costs next to no CPU. */
export function createLink({ bitsPerSecond, oneWayMs }: LinkOptions): Link {
  const bytesPerMs = bitsPerSecond / 8 / 1000
  const waiting: Waiting[] = []
  let freeAtMs = 0
  let timer: NodeJS.Timeout | null = null
  const deliver = () => {
    timer = null
    const nowMs = performance.now()
    while (waiting[0] !== undefined && waiting[0].dueMs <= nowMs) waiting.shift()?.arrived()
    arm()
  }
  const arm = () => {
    const [next] = waiting
    if (timer !== null || next === undefined) return
    timer = setTimeout(deliver, Math.max(1, next.dueMs - performance.now()))
  }
  return {
    send: (bytes, arrived) => {
      freeAtMs = Math.max(freeAtMs, performance.now()) + bytes / bytesPerMs
      waiting.push({ dueMs: freeAtMs + oneWayMs, arrived })
      arm()
    },
  }
}
