import type { UpstreamOverview } from './activity.ts'

/** What an upstream was asked, and how it answered. */
export type UpstreamCounts = Pick<
  UpstreamOverview,
  'requests' | 'errors' | 'fetchedBytes' | 'medianMs' | 'p95Ms'
>

/** Counts what one upstream is asked. */
export type UpstreamCounter = {
  /** It answered, or could not tell; only an answer's time counts. */
  answered(isError: boolean, seconds: number): void
  fetched(bytes: number): void
  counts(): UpstreamCounts
}

const keptTimes = 100

export function createUpstreamCounter(): UpstreamCounter {
  const seconds = new Float64Array(keptTimes)
  let answers = 0
  let errors = 0
  let fetchedBytes = 0
  return {
    answered(isError, took) {
      if (isError) {
        errors += 1
        return
      }
      seconds[answers % keptTimes] = took
      answers += 1
    },
    fetched(bytes) {
      fetchedBytes += bytes
    },
    counts() {
      const sorted = seconds.slice(0, Math.min(answers, keptTimes)).sort()
      return {
        ...{ requests: answers + errors, errors, fetchedBytes },
        ...{ medianMs: quantileMs(sorted, 0.5), p95Ms: quantileMs(sorted, 0.95) },
      }
    },
  }
}

function quantileMs(sorted: Float64Array, quantile: number): number | null {
  const at = Math.max(0, Math.ceil(sorted.length * quantile) - 1)
  const found = sorted[at]
  return found === undefined ? null : found * 1000
}
