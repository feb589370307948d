import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'

/** Answers with a whole body; to HEAD the same headers without it. */
export function reply(
  response: ServerResponse,
  status: number,
  headers: OutgoingHttpHeaders,
  body: string | Buffer,
): void {
  const bytes = typeof body === 'string' ? Buffer.byteLength(body) : body.length
  response.writeHead(status, { ...headers, 'content-length': bytes })
  response.end(response.req.method === 'HEAD' ? undefined : body)
}

/** Answers in words, for whoever reads an error: one line of text. */
export function replyText(
  response: ServerResponse,
  status: number,
  text: string,
  headers: OutgoingHttpHeaders = {},
): void {
  reply(
    response,
    status,
    {
      'content-type': 'text/plain; charset=utf-8',
      'x-content-type-options': 'nosniff',
      ...headers,
    },
    `${text}\n`,
  )
}

/** A text as a header may carry it: what is not printable ASCII is percent-encoded. */
export function headerText(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]|%/gu, (character) => encodeURIComponent(character))
}
