import type { RequestResult } from '../../policy/breaker.ts'
import type { Clock } from '../../ports/clock.ts'
import { type Upstream, UpstreamError } from '../../ports/upstream.ts'
import { type Circuit, isFailure, isHostDown, isUnasked } from './circuit.ts'

export type BreakingDeps = {
  readonly circuit: Circuit
  readonly clock: Clock
  /** Whether every upstream is down, so that for logs and realisations too nobody else can answer. */
  readonly isAlone: () => boolean
}

/** How long a question may take that is asked of an upstream although it is down. */
const lastHopeMs = 1000
/** So soon after such a question failed the next one fails at once. */
const freshMs = 300

type Question<Answer> = {
  /** What is asked for, by which failures of one object are told from those of several. */
  readonly object: string
  readonly signal: AbortSignal
  readonly isLastHope: boolean
  readonly ask: (signal: AbortSignal) => Promise<Answer>
}

/**
 * The same upstream, which is not asked for a while once it failed several times in a row: it throws `breaker-open` at once. Where nobody
 * else can answer the question itself finds out whether it is back, within a second; who asks meanwhile waits for that.
 */
export function createBreakingUpstream(
  upstream: Upstream,
  { circuit, clock, isAlone }: BreakingDeps,
): Upstream {
  let trial: Promise<unknown> | null = null
  let lastFailedMs = -Infinity

  const watched = async <Answer>(
    { object, signal: owner, ask }: Question<Answer>,
    signal = owner,
  ): Promise<Answer> => {
    try {
      const answer = await ask(signal)
      circuit.ended({ kind: 'succeeded' })
      return answer
    } catch (error) {
      circuit.ended(resultOf(error, object, owner), ask)
      throw error
    }
  }

  /** A host that answers that it cannot may have met this object for the first time: one refusal would have all who wait refused. */
  const insisting = <Answer>(question: Question<Answer>, signal: AbortSignal): Promise<Answer> =>
    watched(question, signal).catch((error: unknown) => {
      if (!saysThatItCannot(error)) throw error
      return watched(question, signal)
    })

  /** Asks it although it is down. */
  const tried = async <Answer>(question: Question<Answer>, deadline: AbortSignal) => {
    const signal = AbortSignal.any([question.signal, deadline])
    const running = insisting(question, signal)
    trial = running.catch(() => undefined)
    try {
      return await running
    } catch (error) {
      if (!(error instanceof UpstreamError) || !isFailure(error)) throw error
      lastFailedMs = clock.nowMs()
      throw notAsked(`it is down: ${error.message}`)
    } finally {
      trial = null
    }
  }

  const guarded = async <Answer>(question: Question<Answer>): Promise<Answer> => {
    if (circuit.mayAsk()) return watched(question)
    if (!question.isLastHope) throw notAsked()
    const deadline = AbortSignal.timeout(lastHopeMs)
    for (;;) {
      const retryAfterMs = circuit.pauseMs()
      if (retryAfterMs > 0) throw notAsked('it asked for a pause', retryAfterMs)
      if (circuit.mayAsk()) return watched(question)
      const sinceMs = clock.nowMs() - lastFailedMs
      if (sinceMs >= 0 && sinceMs < freshMs) throw notAsked()
      if (trial === null) return tried(question, deadline)
      await trial
      question.signal.throwIfAborted()
      if (deadline.aborted) throw notAsked()
    }
  }

  return {
    ...upstream,
    narinfo: (hash, signal, asking) =>
      guarded({
        object: hash,
        signal,
        isLastHope: asking?.isLastHope ?? isAlone(),
        ask: (inTime) => upstream.narinfo(hash, inTime, asking),
      }),
    realisation: (output, signal) =>
      guarded({
        object: output.id,
        signal,
        isLastHope: isAlone(),
        ask: (inTime) => upstream.realisation(output, inTime),
      }),
    // A log goes out at its reader's speed: it does not move the breaker, and a trial for it is made of something small.
    async buildLog(derivation, signal) {
      if (!circuit.mayAsk()) {
        await guarded({
          object: 'nix-cache-info',
          signal,
          isLastHope: isAlone(),
          ask: (inTime) => upstream.cacheInfo(inTime),
        })
      }
      return upstream.buildLog(derivation, signal)
    },
    async close() {
      circuit.close()
      await upstream.close()
    },
  }
}

/** Whether the host is up, does not ask for a pause, and could not answer. */
function saysThatItCannot(error: unknown): boolean {
  if (!(error instanceof UpstreamError)) return false
  return isFailure(error) && !isHostDown(error.code) && error.retryAfterMs === null
}

function notAsked(
  why = 'it failed several times, and is not asked just now',
  retryAfterMs: number | null = null,
): UpstreamError {
  return new UpstreamError('breaker-open', why, { retryAfterMs })
}

function resultOf(error: unknown, object: string, owner: AbortSignal): RequestResult {
  if (!(error instanceof UpstreamError)) {
    return { kind: owner.aborted ? 'abandoned' : 'succeeded' }
  }
  if (isUnasked(error.code)) return { kind: 'abandoned' }
  if (!isFailure(error)) return { kind: 'succeeded' }
  const { code, retryAfterMs } = error
  return { kind: 'failed', object: isHostDown(code) ? null : object, retryAfterMs }
}
