import type { ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

/** A line of an answer that comes item by item: without the `end` at its end it is not whole. */
export type AnswerLine =
  { readonly item: unknown } | { readonly error: string } | { readonly end: true }

/** Sends items as lines of JSON, as fast as they are read; what goes wrong is the last line, and told to `failed`. */
export async function sendLines(
  response: ServerResponse,
  items: AsyncIterable<unknown>,
  failed: (error: unknown) => string,
): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/x-ndjson' })
  response.flushHeaders()
  await pipeline(Readable.from(linesOf(items, failed)), response)
}

async function* linesOf(
  items: AsyncIterable<unknown>,
  failed: (error: unknown) => string,
): AsyncGenerator<string> {
  try {
    for await (const item of items) yield lineOf({ item })
    yield lineOf({ end: true })
  } catch (error) {
    yield lineOf({ error: failed(error) })
  }
}

function lineOf(line: AnswerLine): string {
  return `${JSON.stringify(line)}\n`
}
