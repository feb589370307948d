import type { Answered } from '../ports/http-meter.ts'
import type { Decision } from './activity.ts'

/** The last decisions, with the addresses of their clients. */
export type RecentDecisions = {
  note(answered: Answered, nowMs: number): void
  /** Those with an id above `after`, the latest first, at most `limit`. */
  list(after: number, limit: number): readonly Decision[]
}

/** Keeps the last `capacity` decisions; ids count from 1. */
export function createRecentDecisions(capacity: number): RecentDecisions {
  // Two rings, so that to note one of twenty thousand a second makes nothing new.
  const answers = new Array<Answered | null>(capacity).fill(null)
  const times = new Float64Array(capacity)
  let lastId = 0
  return {
    note(answered, nowMs) {
      lastId += 1
      answers[lastId % capacity] = answered
      times[lastId % capacity] = nowMs
    },
    list(after, limit) {
      const listed: Decision[] = []
      const oldest = Math.max(after, lastId - capacity, 0)
      for (let id = lastId; id > oldest && listed.length < limit; id -= 1) {
        const answered = answers[id % capacity]
        if (answered) listed.push(decisionOf(id, times[id % capacity] ?? 0, answered))
      }
      return listed
    },
  }
}

function decisionOf(id: number, atMs: number, answered: Answered): Decision {
  const { object, result, hash, path, upstream, rule, reason, client } = answered
  return {
    ...{ id, atMs, object, result, hash, path, rule, reason, client },
    upstream: upstream === '' ? null : upstream,
  }
}
