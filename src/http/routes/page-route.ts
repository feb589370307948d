import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { createHash } from 'node:crypto'
import { parseBaseName, parseStorePathHash, type StorePathHash } from '../../nix/store-path.ts'
import type { Pages } from '../../page/pages.ts'
import { accessOf, wrongToken } from '../api/api-access.ts'
import { originOf } from '../api/api-route.ts'
import { clientOf } from '../client.ts'
import { reply, replyText } from '../reply.ts'

/** What a browser may ask for. */
export type PageRoute =
  | { readonly kind: 'page'; readonly page: 'status' }
  | {
      readonly kind: 'page'
      readonly page: 'search'
      readonly text: string
      readonly after: string | null
    }
  | {
      readonly kind: 'page'
      readonly page: 'path'
      readonly hash: StorePathHash
      readonly isLive: boolean
    }
  | { readonly kind: 'page'; readonly page: 'policy' }
  | { readonly kind: 'asset'; readonly address: string }

const pathPrefix = '/path/'
const maxTextLength = 300

/** The page at a path, with what its query says; `null` where there is none. */
export function parsePageRoute(path: string, query: string): PageRoute | null {
  if (path === '/') return { kind: 'page', page: 'status' }
  if (path === '/policy') return { kind: 'page', page: 'policy' }
  if (path.startsWith('/ui/')) return { kind: 'asset', address: path }
  if (path === '/search') {
    const fields = new URLSearchParams(query)
    const text = (fields.get('q') ?? '').trim().slice(0, maxTextLength)
    return { kind: 'page', page: 'search', text, after: fields.get('after') }
  }
  if (!path.startsWith(pathPrefix)) return null
  const hash = parseStorePathHash(path.slice(pathPrefix.length))
  const isLive = new URLSearchParams(query).has('live')
  return hash === null ? null : { kind: 'page', page: 'path', hash, isLive }
}

export type PageRouteDeps = {
  readonly pages: Pages
  readonly isAdmin: (token: string) => boolean
  /** Whether everybody may see the pages: `[server] page`. */
  readonly isPublic: () => boolean
}

/** Nothing but what Weir itself serves, no page of another site around it, and no address told to other sites. */
const documentHeaders: OutgoingHttpHeaders = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
}

/** Answers with a page, or with what a page loads. */
export async function answerPage(
  deps: PageRouteDeps,
  request: IncomingMessage,
  response: ServerResponse,
  route: PageRoute,
  signal: AbortSignal,
): Promise<void> {
  if (route.kind === 'asset') {
    await answerAsset(deps.pages, request, response, route.address)
    return
  }
  const access = accessOf(request, deps.isAdmin)
  if (access === 'wrong-token') {
    replyText(response, 401, wrongToken, { 'www-authenticate': 'Bearer' })
    return
  }
  const isAdmin = access === 'admin'
  if (!isAdmin && (isLive(route) || !deps.isPublic())) {
    reply(
      response,
      401,
      { ...documentHeaders, 'www-authenticate': 'Bearer' },
      await deps.pages.locked(),
    )
    return
  }
  const named = route.page === 'search' ? namedPath(route.text) : null
  const visitor = { origin: originOf(request), client: clientOf(request), isAdmin }
  // Who has unlocked the page asks by its script, which follows nothing.
  if (named !== null && isAdmin) {
    const page = await deps.pages.path(named, { live: false }, visitor)
    reply(response, 200, documentHeaders, page)
    return
  }
  if (named !== null) {
    reply(response, 303, { location: `${pathPrefix}${named}`, 'cache-control': 'no-store' }, '')
    return
  }
  reply(response, 200, documentHeaders, await render(deps.pages, route, visitor, signal))
}

function render(
  pages: Pages,
  route: Extract<PageRoute, { kind: 'page' }>,
  visitor: Parameters<Pages['status']>[0],
  signal: AbortSignal,
): Promise<string> {
  switch (route.page) {
    case 'status':
      return pages.status(visitor)
    case 'search':
      return pages.search(route.text, route.after, visitor, signal)
    case 'path':
      return pages.path(route.hash, { live: isLive(route) }, visitor)
    case 'policy':
      return pages.policy()
  }
}

/** The hash that a text names: itself, a base name's or a whole store path's, with what is below that. */
function namedPath(text: string): StorePathHash | null {
  const [first = '', ...rest] = text.split('/').filter((part) => part !== '')
  const at = text.startsWith('/')
    ? [first, ...rest].map(hashIn).find((hash) => hash !== null)
    : null
  return at ?? hashIn(text)
}

function hashIn(part: string): StorePathHash | null {
  return parseStorePathHash(part) ?? parseBaseName(part)?.hash ?? null
}

/** Whether upstreams are to be asked, which a page of another site must not bring about. */
function isLive(route: Extract<PageRoute, { kind: 'page' }>): boolean {
  return route.page === 'path' && route.isLive
}

async function answerAsset(
  pages: Pages,
  request: IncomingMessage,
  response: ServerResponse,
  address: string,
): Promise<void> {
  const asset = await pages.asset(address)
  if (asset === null) {
    replyText(response, 404, 'not here')
    return
  }
  const etag = `"${createHash('sha256').update(asset.body).digest('base64url').slice(0, 22)}"`
  // The address names the content.
  const caching = { etag, 'cache-control': 'public, max-age=31536000, immutable' }
  if (request.headers['if-none-match'] === etag) {
    response.writeHead(304, caching)
    response.end()
    return
  }
  const headers = { 'content-type': asset.contentType, 'x-content-type-options': 'nosniff' }
  reply(response, 200, { ...headers, ...caching }, asset.body)
}
