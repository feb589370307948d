import { type Latencies, noLatencies, slowAfterMs, withLatency } from '../../policy/hedge.ts'
import { UpstreamError } from '../../ports/upstream.ts'

/** So long a root that failed is asked after the others. */
const avoidedMs = 30_000

/** What is known of one root: how fast it answers, and when it last failed. */
export class RootHealth {
  #latencies: Latencies = noLatencies
  #failedAtMs = -Infinity

  /** It took so long, or has not answered for so long. */
  took(ms: number): void {
    this.#latencies = withLatency(this.#latencies, ms)
  }

  /** Notes a failure that says that it is down; any other says nothing of it. */
  failed(error: unknown, nowMs: number): void {
    if (isDown(error)) this.#failedAtMs = nowMs
  }

  succeeded(): void {
    this.#failedAtMs = -Infinity
  }

  isAvoided(nowMs: number): boolean {
    return nowMs - this.#failedAtMs < avoidedMs
  }

  /** Milliseconds; `null` where too little is known. */
  get slowAfterMs(): number | null {
    return slowAfterMs(this.#latencies)
  }
}

function isDown(error: unknown): boolean {
  if (!(error instanceof UpstreamError)) return false
  const { code, status } = error
  if (status !== null) return status === 429 || status >= 500
  return ['connect', 'timeout', 'reset', 'breaker-open'].includes(code)
}
