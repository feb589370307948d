import { IncomingMessage, ServerResponse } from 'node:http'
import { PassThrough } from 'node:stream'
import { Socket } from 'node:net'
import t from 'tap'
import { sendBody } from '../../src/http/routes/send-body.ts'
import type { NarBody } from '../../src/substituter/fetching/nar-body.ts'

type Read = (buffer: Uint8Array, position: number) => Promise<number>

const bodyOf = (size: number | null, read: Read): NarBody => ({
  ...{ etag: '"x"', size, read },
  wholeSize: () => Promise.resolve(size ?? 0),
  [Symbol.asyncDispose]: () => Promise.resolve(),
})

/** An answer that goes nowhere, but is taken. */
function takenResponse(): ServerResponse {
  const response = new ServerResponse(new IncomingMessage(new Socket()))
  response.assignSocket(new PassThrough().resume() as unknown as Socket)
  return response
}

const whole = { first: 0, last: null }

t.test('the memory of a body that was sent whole serves the next one', async (t) => {
  const seen = new Set<ArrayBufferLike>()
  const content = Buffer.alloc(600 * 1024, 'nar')
  const read: Read = (buffer, position) => {
    seen.add(buffer.buffer)
    return Promise.resolve(content.copy(buffer, 0, position))
  }
  let told = 0
  for (let count = 0; count < 5; count += 1) {
    const sending = { response: takenResponse(), body: bodyOf(content.length, read) }
    const sent = (bytes: number): void => void (told += bytes)
    await sendBody({ ...sending, sent }, whole, new AbortController().signal)
  }
  t.equal(told, 5 * content.length)
  t.equal(seen.size, 2)
})

t.test('what is still read for a client that has gone is written into nobody else', async (t) => {
  const leaving = new AbortController()
  const late: Uint8Array[] = []
  const stuck: Read = (buffer) => {
    late.push(buffer)
    return new Promise((_, reject) => {
      leaving.signal.addEventListener('abort', () => {
        reject(new Error('gone'))
      })
    })
  }
  const first = { response: takenResponse(), body: bodyOf(100, stuck), sent: () => undefined }
  const broken = t.rejects(sendBody(first, whole, leaving.signal), /gone/)
  leaving.abort()
  await broken
  const seen: ArrayBufferLike[] = []
  const read: Read = (buffer) => {
    seen.push(buffer.buffer)
    return Promise.resolve(buffer.length)
  }
  const next = { response: takenResponse(), body: bodyOf(600 * 1024, read), sent: () => undefined }
  await sendBody(next, whole, new AbortController().signal)
  t.equal(seen.length, 3)
  t.notOk(late.some(({ buffer }) => seen.includes(buffer)))
})

t.test('a file that is shorter than it was said to be breaks off', async (t) => {
  const sending = { response: takenResponse(), sent: () => undefined }
  const short = bodyOf(100, (_, position) => Promise.resolve(position === 0 ? 40 : 0))
  const { signal } = new AbortController()
  await t.rejects(sendBody({ ...sending, body: short }, whole, signal), /the body is short/)
})
