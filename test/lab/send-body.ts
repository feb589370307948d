import type { ServerResponse } from 'node:http'
import type { BodySource } from './body-source.ts'
import type { Mark } from './fault-plan.ts'
import type { Gate } from './gate.ts'

type BodyPlan = {
  readonly source: BodySource
  readonly start: number
  readonly end: number
  readonly marks: readonly Mark[]
  readonly slow: { readonly bytes: number; readonly gate: Pick<Gate, 'pass'> } | null
  readonly onSent: (bytes: number) => void
}

/** Cuts pieces so that each of the offsets falls between two. */
async function* cutAt(
  pieces: AsyncIterable<Buffer>,
  offsets: readonly number[],
): AsyncGenerator<Buffer> {
  let position = 0
  for await (const piece of pieces) {
    let rest = piece
    for (const offset of offsets) {
      const length = offset - position
      if (length <= 0 || length >= rest.length) continue
      yield rest.subarray(0, length)
      rest = rest.subarray(length)
      position = offset
    }
    yield rest
    position += rest.length
  }
}

/** Sends a part of a source as a response's body and ends it; stops early at a mark that says so, or when the peer goes. */
export async function sendBody(response: ServerResponse, plan: BodyPlan): Promise<void> {
  const { source, start, end, slow, onSent } = plan
  const places = { middle: (end - start) >> 1, last: Math.max(0, end - start - 1) }
  const marks = plan.marks
    .map(({ at, act }) => ({ act, at: typeof at === 'number' ? at : places[at] }))
    .toSorted((a, b) => a.at - b.at)
  // Not the response's: it has none yet where the last answer on the connection is just being finished.
  const { socket } = response.req
  const gone = new Promise<void>((resolve) => {
    response.once('close', resolve)
  })
  const write = async (piece: Buffer) => {
    const written = new Promise<void>((resolve) => {
      response.write(piece, () => {
        resolve()
      })
    })
    await Promise.race([written, gone])
  }
  // Returns whether to go on after the marks at this offset.
  const actAt = async (offset: number) => {
    for (const { act } of marks.filter((mark) => mark.at === offset)) {
      if (act === 'close') socket.destroy()
      else if (act === 'reset') socket.resetAndDestroy()
      else await Promise.race([act.pass(), gone])
    }
    return !socket.destroyed
  }
  response.flushHeaders()
  let sent = 0
  if (!(await actAt(0))) return
  const offsets = marks.map((mark) => mark.at)
  for await (const piece of cutAt(source.read(start, end, slow?.bytes ?? 262_144), offsets)) {
    if (slow) await Promise.race([slow.gate.pass(), gone])
    await write(piece)
    if (response.destroyed) return
    sent += piece.length
    onSent(sent)
    if (!(await actAt(sent))) return
  }
  response.end()
}
