import type { UpstreamBody } from '../ports/upstream.ts'

/** What is complete is looked at so often; where nothing more comes for two looks, nothing more is waited for. */
const lookMs = 250

/**
 * The same body, which ends by itself where all that is wanted of it has come and nothing follows: whoever promised more than there is keeps the
 * connection open. `leave` is called then, and must have the body closed: it is not read any more.
 */
export async function* untilComplete(
  body: UpstreamBody,
  isComplete: () => boolean,
  leave: () => void,
): AsyncGenerator<Uint8Array> {
  const chunks = body[Symbol.asyncIterator]()
  let looks = 0
  let giveUp: (() => void) | null = null
  const timer = setInterval(() => {
    looks = giveUp !== null && isComplete() ? looks + 1 : 0
    if (looks === 2) giveUp?.()
  }, lookMs)
  let isLeft = false
  try {
    for (;;) {
      const next = await new Promise<IteratorResult<Uint8Array> | null>((resolve, reject) => {
        giveUp = () => {
          resolve(null)
        }
        chunks.next().then(resolve, reject)
      })
      giveUp = null
      looks = 0
      if (next === null) isLeft = true
      if (next === null || next.done === true) return
      yield next.value
    }
  } finally {
    clearInterval(timer)
    if (isLeft) leave()
    else await chunks.return?.()
  }
}
