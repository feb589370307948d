import type { ServerResponse } from 'node:http'
import type { NarBody } from '../../substituter/fetching/nar-body.ts'
import { createSpareBuffers, type SpareBuffers } from './spare-buffers.ts'

export type SentBody = {
  readonly response: ServerResponse
  readonly body: NarBody
  /** Told of the bytes as they are sent. */
  readonly sent: (bytes: number) => void
}

/** Reads and writes of this size, two in turn, come near to sendfile's speed. */
const forStored = createSpareBuffers(256 * 1024, 32)
/** As long as few large files are sent there is memory for larger ones, which come up to it. */
const forFew = createSpareBuffers(1024 * 1024, 8)
/** What still grows comes in smaller pieces anyway, and many may read along. */
const forGrowing = createSpareBuffers(64 * 1024, 64)

/**
 * Writes a body from `first` up to `last` (included), or to its end, at the client's speed: one buffer is read while the
 * other is on its way. Throws where the body breaks off, or the signal says that the client went away.
 */
export async function sendBody(
  sending: SentBody,
  { first, last }: { readonly first: number; readonly last: number | null },
  signal: AbortSignal,
): Promise<void> {
  const { size } = sending.body
  const spare = buffersFor(size)
  const end = last ?? (size === null ? null : size - 1)
  const buffers = [spare.take(), spare.take()] as const
  let state: 'unused' | 'in-use' = 'in-use'
  try {
    await sendIn(buffers, sending, { first, end }, signal)
    // Of one that broke off a piece may still be read or be on its way.
    state = 'unused'
  } finally {
    for (const buffer of buffers) spare.giveBack(buffer, state)
  }
}

function buffersFor(size: number | null): SpareBuffers {
  if (size === null) return forGrowing
  const areFew = forFew.lent() + forStored.lent() < 8
  return size > forFew.bytes && areFew ? forFew : forStored
}

/** Writes a body up to `end` (included), which may be unknown. */
async function sendIn(
  buffers: readonly [Buffer, Buffer],
  { response, body, sent }: SentBody,
  { first, end }: { readonly first: number; readonly end: number | null },
  signal: AbortSignal,
): Promise<void> {
  let written = Promise.resolve()
  let position = first
  for (let turn: 0 | 1 = 0; end === null || position <= end; turn = turn === 0 ? 1 : 0) {
    const whole = buffers[turn]
    const buffer = end === null ? whole : whole.subarray(0, end + 1 - position)
    const read = await body.read(buffer, position, signal)
    await written
    if (read === 0) {
      // A length was promised: the file was cut behind Weir's back.
      if (end !== null) throw new Error('the body is short')
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
