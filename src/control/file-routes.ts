import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { StoredFiles } from '../admin/stored-files.ts'
import { reply } from '../http/reply.ts'
import { narFileName, parseNarFileName } from '../nix/nar-key.ts'
import { parseStorePathHash } from '../nix/store-path.ts'
import { BadRequestError } from '../admin/bad-request-error.ts'

/** The headers that say what a listing is of. */
export const pathHeader = 'x-weir-path'
export const narHeader = 'x-weir-nar'

/** Answers `GET /listing?hash=…` and `GET /file?nar=…&offset=…&size=…` with bytes; false for any other request. */
export async function answerFiles(
  files: StoredFiles,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  const url = new URL(request.url ?? '/', 'http://weir')
  const isListing = url.pathname === '/listing'
  if (request.method !== 'GET' || !(isListing || url.pathname === '/file')) return false
  const leaving = new AbortController()
  response.on('close', () => {
    leaving.abort()
  })
  await (isListing ? sendListing : sendFile)(files, url.searchParams, response, leaving.signal)
  return true
}

async function sendListing(
  files: StoredFiles,
  query: URLSearchParams,
  response: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  const hash = parseStorePathHash(query.get('hash') ?? '')
  if (hash === null) throw new BadRequestError('hash: 32 characters of a store path')
  const { baseName, key, listing } = await files.list(hash, signal)
  const headers = {
    'content-type': 'application/json',
    [pathHeader]: baseName,
    [narHeader]: narFileName(key),
  }
  reply(response, 200, headers, Buffer.from(listing))
}

async function sendFile(
  files: StoredFiles,
  query: URLSearchParams,
  response: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  const key = parseNarFileName(query.get('nar') ?? '')
  const [offset, size] = [bytesOf(query.get('offset')), bytesOf(query.get('size'))]
  if (key === null || offset === null || size === null) {
    throw new BadRequestError('a file is named by nar, offset and size')
  }
  const bytes = await files.read(key, { offset, size }, signal)
  response.writeHead(200, {
    'content-type': 'application/octet-stream',
    'content-length': size,
  })
  for await (const piece of bytes) {
    if (!response.write(piece)) await once(response, 'drain', { signal })
  }
  response.end()
}

function bytesOf(text: string | null): number | null {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null
}
