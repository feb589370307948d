import { UpstreamError } from '../ports/upstream.ts'
import { causes, codeOf } from '../upstream/upstream-failure.ts'

/** Which hosts refuse connections, and since when. */
export type Outages = {
  /** A host refused one: whether that may be over soon, since it began a moment ago. */
  isNew(upstream: string): boolean
  /** It took one. */
  ended(upstream: string): void
}

/** So long a server that is started anew is waited for. */
const shortMs = 10_000

export function createOutages(nowMs: () => number = () => performance.now()): Outages {
  const since = new Map<string, number>()
  return {
    isNew(upstream) {
      const began = since.get(upstream) ?? nowMs()
      since.set(upstream, began)
      return nowMs() - began < shortMs
    },
    ended: (upstream) => since.delete(upstream),
  }
}

/** Nobody is waited for. */
export const noPatience: Outages = { isNew: () => false, ended: () => undefined }

/** Whether a host is there, and nothing listens: as where its server is being started anew. */
export function isRefusal(error: unknown): boolean {
  if (!(error instanceof UpstreamError) || error.code !== 'connect') return false
  return [...causes(error)].some((cause) => codeOf(cause) === 'ECONNREFUSED')
}
