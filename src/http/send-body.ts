import type { ServerResponse } from 'node:http'
import type { NarBody } from '../substituter/nar-body.ts'

export type SentBody = {
  readonly response: ServerResponse
  readonly body: NarBody
  /** Told of the bytes as they are sent. */
  readonly sent: (bytes: number) => void
}

/** Reads and writes of this size, two in turn, come up to sendfile's speed. */
const storedBufferBytes = 256 * 1024
/** What still grows comes in smaller pieces anyway, and many may read along. */
const growingBufferBytes = 64 * 1024

/**
 * Writes a body from `first` up to `last` (included), or to its end, at the client's speed: one buffer is read while the
 * other is on its way. Throws where the body breaks off, or the signal says that the client went away.
 */
export async function sendBody(
  { response, body, sent }: SentBody,
  { first, last }: { readonly first: number; readonly last: number | null },
  signal: AbortSignal,
): Promise<void> {
  const bufferBytes = body.size === null ? growingBufferBytes : storedBufferBytes
  const buffers = [Buffer.allocUnsafe(bufferBytes), Buffer.allocUnsafe(bufferBytes)] as const
  let written = Promise.resolve()
  let position = first
  for (let turn: 0 | 1 = 0; last === null || position <= last; turn = turn === 0 ? 1 : 0) {
    const wanted = last === null ? bufferBytes : Math.min(bufferBytes, last + 1 - position)
    const buffer = buffers[turn].subarray(0, wanted)
    const read = await body.read(buffer, position, signal)
    await written
    if (read === 0) {
      // A length was promised: the file was cut behind Weir's back.
      if (last !== null || position !== (body.size ?? position))
        throw new Error('the body is short')
      break
    }
    position += read
    written = write(response, buffer.subarray(0, read), signal).then(() => {
      sent(read)
    })
    written.catch(() => undefined) // thrown where it is awaited
  }
  await written
}

function write(response: ServerResponse, chunk: Buffer, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      reject(signal.reason as Error)
    }
    if (signal.aborted) {
      abort()
      return
    }
    signal.addEventListener('abort', abort, { once: true })
    response.write(chunk, (error) => {
      signal.removeEventListener('abort', abort)
      if (error === null || error === undefined) resolve()
      else reject(error)
    })
  })
}
