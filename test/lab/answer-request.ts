import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { extname, join, normalize } from 'node:path'
import { type BodySource, bufferSource, fileSource } from './body-source.ts'
import type { FaultPlan } from './fault-plan.ts'
import { sendBody } from './send-body.ts'

type Context = {
  readonly root: string
  /** Which paths (without the first slash, without a query) exist at all. */
  readonly only: (path: string) => boolean
  readonly etags: boolean
  readonly plan: FaultPlan
  readonly onHead: (status: number) => void
  readonly onSent: (bytes: number) => void
}

type Answer = {
  readonly status: number
  readonly headers: OutgoingHttpHeaders
  readonly source: BodySource
  readonly start: number
  readonly end: number
}

function contentType(path: string): string {
  if (path.endsWith('nix-cache-info')) return 'text/x-nix-cache-info'
  if (extname(path) === '.narinfo') return 'text/x-nix-narinfo'
  return ['.ls', '.doi'].includes(extname(path)) ? 'application/json' : 'application/x-nix-nar'
}

function unescape(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

function whole(status: number, headers: OutgoingHttpHeaders, body: string): Answer {
  const source = bufferSource(body)
  return { status, headers, source, start: 0, end: source.size }
}

/** The bytes that a Range header asks for; null for all, undefined for none that there are. */
function parseRange(header: string | undefined, size: number): [number, number] | null | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '')
  const [, first = '', last = ''] = match ?? []
  if (first === '' && last === '') return null
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first)
  const end = first === '' || last === '' ? size : Math.min(size, Number(last) + 1)
  return start < end ? [start, end] : undefined
}

async function decide(request: IncomingMessage, context: Context): Promise<Answer> {
  const { plan, root, only, etags } = context
  if (plan.reply) return whole(plan.reply.status, plan.reply.headers, plan.reply.body)
  if (request.method !== 'GET' && request.method !== 'HEAD') return whole(405, {}, '405\n')
  const [pathname = ''] = (request.url ?? '').split('?')
  const path = normalize(`/${unescape(pathname)}`).slice(1)
  let source = only(path) ? await fileSource(join(root, path)) : null
  for (const transform of plan.transforms) source = await transform(source)
  if (source === null) return whole(404, {}, '404\n')
  const { size, etag } = source
  const headers: OutgoingHttpHeaders = { 'content-type': contentType(path) }
  if (etags && etag !== null) {
    headers['etag'] = etag
    if (request.headers['if-none-match'] === etag) return whole(304, headers, '')
  }
  if (!plan.ranges) return { status: 200, headers, source, start: 0, end: size }
  headers['accept-ranges'] = 'bytes'
  const range = parseRange(request.headers.range, size)
  if (range === null) return { status: 200, headers, source, start: 0, end: size }
  if (range === undefined) return whole(416, { 'content-range': `bytes */${size}` }, '')
  const [start, end] = range
  headers['content-range'] = `bytes ${start}-${end - 1}/${size}`
  return { status: 206, headers, source, start, end }
}

/** Answers a request with a file below the root, or as its faults will have it. */
export async function answerRequest(
  request: IncomingMessage,
  response: ServerResponse,
  context: Context,
): Promise<void> {
  const { plan, onHead, onSent } = context
  for (const wait of plan.waits) await wait()
  if (plan.handle) {
    await plan.handle(request, response)
    return
  }
  const { status, headers, source, start, end } = await decide(request, context)
  const length =
    plan.chunked || status === 304
      ? {}
      : { 'content-length': Math.max(0, end - start + plan.lengthBy) }
  // The log is written first: whoever has the answer finds it there.
  onHead(status)
  response.writeHead(status, { ...headers, ...length, ...plan.headers })
  if (request.method === 'HEAD' || status === 304) {
    response.end()
    return
  }
  await sendBody(response, { source, start, end, marks: plan.marks, slow: plan.slow, onSent })
}
