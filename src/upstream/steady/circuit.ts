import {
  afterProbe,
  afterRequest,
  type Breaker,
  closedBreaker,
  mayAsk,
  pauseMs,
  probed,
  type RequestResult,
} from '../../policy/breaker.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Log } from '../../ports/log.ts'
import { type Upstream, UpstreamError } from '../../ports/upstream.ts'

/** Acts after so many milliseconds, unless the returned function is called before. */
export type Schedule = (ms: number, act: () => void) => () => void

/** By the system's timers, which keep no process alive. */
export const systemSchedule: Schedule = (ms, act) => {
  const timer = setTimeout(act, ms).unref()
  return () => {
    clearTimeout(timer)
  }
}

export type CircuitDeps = {
  readonly clock: Clock
  readonly log: Log
  readonly schedule: Schedule
  /** Called each time that it opens, is probed or closes. */
  readonly changed?: () => void
  /** Told what came of each probe. */
  readonly probed?: (probe: Probe) => void
  /** How long a probe may take. */
  readonly probeMs: number
}

/** What came of a probe: any definite answer says that the upstream is back. */
export type Probe = { readonly result: 'found' | 'absent' | 'error'; readonly seconds: number }

/** One root's circuit breaker, with the probes that close it. */
export type Circuit = {
  state(): Breaker['kind']
  mayAsk(): boolean
  /** How long it is not to be asked because it said so, in milliseconds; else 0. */
  pauseMs(): number
  /** Takes what came of a request; `again` asks the same, by which a probe finds out whether it would be answered now. */
  ended(result: RequestResult, again?: (signal: AbortSignal) => Promise<unknown>): void
  /** Ends its probes. */
  close(): void
}

/** Codes that say that the upstream is down, not that this object cannot be had from it. */
const outages: ReadonlySet<string> = new Set(['connect', 'timeout', 'reset', 'tls'])
/** Codes that say nothing of the upstream: it was not asked. */
const unasked: ReadonlySet<string> = new Set(['breaker-open', 'overloaded', 'credentials'])

/** Whether a code says that the host is down, whatever it was asked for. */
export function isHostDown(code: string): boolean {
  return outages.has(code)
}

/**
 * The circuit breaker of an upstream. While it is open it is probed in the background, as often as the breaker wants it: by the question that
 * failed last, and for its `nix-cache-info`, in turn. Any definite answer closes it.
 */
export function createCircuit(
  upstream: Pick<Upstream, 'name' | 'cacheInfo'>,
  deps: CircuitDeps,
): Circuit {
  const { clock, log, schedule, probeMs } = deps
  const { changed = () => undefined, probed: told = () => undefined } = deps
  let breaker: Breaker = closedBreaker
  let cancel = (): void => undefined
  const closing = new AbortController()
  let ask = (signal: AbortSignal): Promise<unknown> => upstream.cacheInfo(signal)

  const become = (next: Breaker): void => {
    const earlier = breaker
    breaker = next
    if (next === earlier) return
    if (next.kind !== 'probing') cancel()
    if (next.kind === 'open') {
      const forMs = next.untilMs - clock.nowMs()
      log.warn({ event: 'upstream.down', upstream: upstream.name, forMs })
      if (!closing.signal.aborted) cancel = schedule(forMs, probe)
    }
    if (next.kind === 'closed' && earlier.kind !== 'closed') {
      log.info({ event: 'upstream.up', upstream: upstream.name })
    }
    if (next.kind !== earlier.kind) changed()
  }
  const probe = (): void => {
    become(probed(breaker))
    const inTime = AbortSignal.any([closing.signal, AbortSignal.timeout(probeMs)])
    const startedMs = clock.nowMs()
    const tell = (result: Probe['result']): void => {
      told({ result, seconds: (clock.nowMs() - startedMs) / 1000 })
    }
    // The one object that failed may be broken for good: every other time something else is asked for.
    const isOddOne = breaker.kind === 'probing' && breaker.trips % 2 === 1
    const asked = isOddOne ? ask(inTime) : upstream.cacheInfo(inTime)
    asked.then(
      (answer) => {
        tell(answer === null ? 'absent' : 'found')
        become(afterProbe(breaker, 'succeeded', clock.nowMs()))
      },
      (error: unknown) => {
        if (closing.signal.aborted) return
        const isAnswer = error instanceof UpstreamError && !isFailure(error)
        tell(isAnswer ? 'found' : 'error')
        become(afterProbe(breaker, isAnswer ? 'succeeded' : 'failed', clock.nowMs()))
      },
    )
  }
  return {
    state: () => breaker.kind,
    mayAsk: () => mayAsk(breaker, clock.nowMs()),
    pauseMs: () => pauseMs(breaker, clock.nowMs()),
    ended(result, again) {
      if (result.kind === 'failed' && again !== undefined) ask = again
      become(afterRequest(breaker, result, clock.nowMs()))
    },
    close() {
      cancel()
      closing.abort()
    },
  }
}

/** Whether a code says that the upstream was not even asked. */
export function isUnasked(code: string): boolean {
  return unasked.has(code)
}

/** Whether an error speaks against the upstream: it is down, or says itself that it cannot. */
export function isFailure({ code, status }: UpstreamError): boolean {
  return isHostDown(code) || (status !== null && (status >= 500 || status === 429))
}
