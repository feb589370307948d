import pLimit from 'p-limit'
import type { Fetched } from '../substituter/fetch-path.ts'
import type { Pinning, PinReport } from './pins.ts'

/** What became of one path of a pin's closure. */
export type FetchedPath = Fetched & { readonly path: string }

/** So many NARs are fetched at the same time. */
const parallel = 8

/** Fetches what a pin wants, several at a time, and tells of each in the order of the report; who stops listening starts no more. */
export async function* fetchWanted(
  pinning: Pick<Pinning, 'fetch'>,
  wanted: PinReport['wanted'],
  signal: AbortSignal,
): AsyncGenerator<FetchedPath> {
  const limit = pLimit(parallel)
  const coming = wanted.map(({ hash, path }) =>
    limit(async () => ({ path, ...(await pinning.fetch(hash)) })),
  )
  // What fails is told in its turn.
  for (const each of coming) each.catch(() => undefined)
  try {
    for (const each of coming) {
      signal.throwIfAborted()
      yield await each
    }
  } finally {
    limit.clearQueue()
  }
}
