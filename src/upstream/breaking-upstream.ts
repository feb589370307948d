import { admit, after, type Breaker, closedBreaker, type RequestResult } from '../policy/breaker.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import { type Upstream, UpstreamError, type UpstreamErrorCode } from '../ports/upstream.ts'

/** Codes that say that the upstream is down, not that this object cannot be had from it. */
const outages: ReadonlySet<UpstreamErrorCode> = new Set(['connect', 'timeout', 'reset'])

/** The same upstream, which is not asked for a while once it failed several times in a row: it throws `breaker-open` at once. */
export function createBreakingUpstream(
  upstream: Upstream,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Upstream {
  let breaker: Breaker = closedBreaker
  const become = (next: Breaker): void => {
    if (next.kind === 'open' && breaker.kind !== 'open') {
      const forMs = next.untilMs - clock.nowMs()
      log.warn({ event: 'upstream.down', upstream: upstream.name, forMs })
    }
    if (next.kind === 'closed' && breaker.kind !== 'closed') {
      log.info({ event: 'upstream.up', upstream: upstream.name })
    }
    breaker = next
  }
  const guarded = async <Answer>(signal: AbortSignal, ask: () => Promise<Answer>) => {
    const admission = admit(breaker, clock.nowMs())
    breaker = admission.breaker
    if (!admission.isAdmitted) {
      throw notAsked()
    }
    const isProbe = breaker.kind === 'probing'
    const ended = (result: RequestResult): void => {
      // A request from before it opened is not what the probe is to find out; only that it succeeded says enough.
      if (breaker.kind === 'probing' && !isProbe && result !== 'succeeded') return
      become(after(breaker, result, clock.nowMs()))
    }
    try {
      const answer = await ask()
      ended('succeeded')
      return answer
    } catch (error) {
      ended(resultOf(error, signal))
      throw error
    }
  }
  /** Asked where the breaker lets it, which it does not move. */
  const passing = <Answer>(ask: () => Promise<Answer>): Promise<Answer> =>
    admit(breaker, clock.nowMs()).isAdmitted ? ask() : Promise.reject(notAsked())
  return {
    ...upstream,
    // Narinfos alone move it: they are small, and no client decides how long one takes.
    narinfo: (hash, signal) => guarded(signal, () => upstream.narinfo(hash, signal)),
    buildLog: (derivation, signal) => passing(() => upstream.buildLog(derivation, signal)),
    realisation: (output, signal) => passing(() => upstream.realisation(output, signal)),
  }
}

function notAsked(): UpstreamError {
  return new UpstreamError('breaker-open', 'it failed several times, and is not asked just now')
}

function resultOf(error: unknown, signal: AbortSignal): RequestResult {
  if (!(error instanceof UpstreamError)) return signal.aborted ? 'abandoned' : 'succeeded'
  const { code, status } = error
  const isOutage = outages.has(code) || (status !== null && (status >= 500 || status === 429))
  return isOutage ? 'failed' : 'succeeded'
}
