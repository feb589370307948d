import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { reasonForAll } from '../../admin/reason-for-all.ts'
import type { NarFileKey } from '../../nix/nar-key.ts'
import type { NarBody } from '../../substituter/fetching/nar-body.ts'
import type { ReadAhead } from '../../substituter/read-ahead.ts'
import type { NarAnswer, Substituter } from '../../substituter/substituter.ts'
import type { TransferFailure } from '../../substituter/fetching/transfer.ts'
import { type ByteRange, parseByteRange, resolveRange } from './byte-range.ts'
import type { HttpMeter } from '../../ports/http-meter.ts'
import { clientOf } from '../client.ts'
import { noClaimReply, type NoClaimReply, replyNoClaim, replyUnknown } from './no-claim.ts'
import { replyText } from '../reply.ts'
import { sendBody, type SentBody } from './send-body.ts'

type Deps = {
  readonly substituter: Substituter
  readonly readAhead: Pick<ReadAhead, 'asked'>
  readonly meter: HttpMeter
}
type Found = Extract<NarAnswer, { kind: 'found' }>

/** `GET /nar/<hash>-<NarHash>.nar.zst` */
export async function answerNar(
  deps: Deps,
  request: IncomingMessage,
  response: ServerResponse,
  key: NarFileKey,
  signal: AbortSignal,
): Promise<void> {
  if (request.method === 'HEAD') {
    await answerHead(deps, response, key)
    return
  }
  const client = clientOf(request)
  const range = parseByteRange(request.headers.range)
  const isResume = range !== null
  const begun = (): void => {
    deps.readAhead.asked(client, key)
  }
  const answer = await deps.substituter.nar(key, { isResume, client, begun }, signal)
  if (answer.kind !== 'found') {
    const reply = replyNoNar(response, answer, isResume)
    deps.meter.answered({ object: 'nar', hash: key.storePathHash, client, ...reply })
    return
  }
  await using body = answer.body
  const { path, upstream, rule } = answer.served
  const counted = { object: 'nar', result: answer.isStored ? 'hit' : 'miss', upstream } as const
  const { storePathHash: hash } = key
  deps.meter.answered({ ...counted, hash, client, path, rule, reason: null })
  const sending: SentBody = {
    ...{ response, body },
    sent: (bytes) => {
      deps.meter.bodySent(counted, bytes)
    },
  }
  const ifRange = request.headers['if-range']
  const applies = range !== null && (ifRange === undefined || ifRange === body.etag)
  await (applies ? sendPart(sending, range, signal) : sendWhole(request, sending, signal))
}

async function answerHead(deps: Deps, response: ServerResponse, key: NarFileKey): Promise<void> {
  const answer = await deps.substituter.peek(key)
  if (answer.kind !== 'found') {
    replyNoClaim(response, answer)
    return
  }
  response.writeHead(200, {
    ...narHeaders,
    ...(answer.etag === null ? {} : { etag: answer.etag }),
    ...(answer.size === null ? {} : { 'content-length': answer.size }),
  })
  response.end()
}

const narHeaders: OutgoingHttpHeaders = {
  'content-type': 'application/x-nix-nar',
  'accept-ranges': 'bytes',
}

async function sendWhole(
  request: IncomingMessage,
  sending: SentBody,
  signal: AbortSignal,
): Promise<void> {
  const { response, body } = sending
  // HTTP/1.0 marks the end of a body of unknown length by closing: a broken one could not be told from a whole one.
  const size = request.httpVersion === '1.0' ? await body.wholeSize(signal) : body.size
  response.writeHead(200, {
    ...narHeaders,
    etag: body.etag,
    ...(size === null ? {} : { 'content-length': size }),
  })
  await sendBody(sending, { first: 0, last: null }, signal)
  response.end()
}

/**
 * Sends a part. Of a file that still grows, a resume (`bytes=N-`) is answered as soon as there is something to say: with
 * `Content-Range: bytes N-/*`, which clients take for what it means.
 */
async function sendPart(sending: SentBody, range: ByteRange, signal: AbortSignal): Promise<void> {
  const { response, body } = sending
  const isOpenEnded = range.kind === 'from' && range.last === null
  // HTTP/1.0 marks the end of such a body by closing, as it would a broken one.
  const isFramed = response.req.httpVersion !== '1.0'
  if (
    isFramed &&
    body.size === null &&
    isOpenEnded &&
    (await hasByteAt(body, range.first, signal))
  ) {
    const contentRange = `bytes ${range.first}-/*`
    response.writeHead(206, { ...narHeaders, etag: body.etag, 'content-range': contentRange })
    await sendBody(sending, { first: range.first, last: null }, signal)
    response.end()
    return
  }
  const size = await body.wholeSize(signal)
  const part = resolveRange(range, size)
  if (part === null) {
    replyText(response, 416, `the NAR's file has ${size} bytes`, {
      'content-range': `bytes */${size}`,
    })
    return
  }
  response.writeHead(206, {
    ...narHeaders,
    etag: body.etag,
    'content-range': `bytes ${part.first}-${part.last}/${size}`,
    'content-length': part.last - part.first + 1,
  })
  await sendBody(sending, part, signal)
  response.end()
}

async function hasByteAt(body: NarBody, position: number, signal: AbortSignal): Promise<boolean> {
  return (await body.read(new Uint8Array(1), position, signal)) > 0
}

/** Answers that there is no NAR, in the way that a client takes best; what is known of it. */
function replyNoNar(
  response: ServerResponse,
  answer: Exclude<NarAnswer, Found>,
  isResume: boolean,
): NoClaimReply {
  switch (answer.kind) {
    case 'absent':
    case 'unknown':
      if (isResume && answer.kind === 'unknown') {
        // To a resume any 5xx is final, and tells the client less than this.
        replyText(response, 404, 'the rest of this NAR cannot be had now')
        return noClaimReply('error')
      }
      return replyNoClaim(response, answer)
    case 'broken':
      replyText(response, 404, 'the NAR that was begun was wrong: fetch it again from its start')
      return noClaimReply('error')
    case 'failed':
      return replyFailed(response, answer.failure, isResume)
  }
}

function replyFailed(
  response: ServerResponse,
  { kind, failures }: TransferFailure,
  isResume: boolean,
): NoClaimReply {
  const said = failures.map(({ upstream, message }) => `${upstream}: ${reasonForAll(message)}`)
  const why = said.join('; ') || 'the NAR could not be fetched'
  if (kind === 'refused') {
    const headers = { 'x-weir-verdict': 'refused' }
    replyText(response, 404, 'this NAR is not trusted any more', headers)
    return noClaimReply('refused')
  }
  if (kind === 'absent') {
    replyText(response, 404, `no upstream has this NAR: ${why}`)
    return noClaimReply('absent')
  }
  if (isResume) replyText(response, 404, `the rest of this NAR cannot be had: ${why}`)
  else if (kind === 'unknown') replyUnknown(response, why)
  else replyText(response, 502, `every upstream's NAR was wrong: ${why}`)
  return noClaimReply('error')
}
