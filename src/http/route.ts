import { type DrvOutput, parseDrvOutputFile } from '../nix/drv-output.ts'
import { type NarFileKey, parseNarFileName } from '../nix/nar-key.ts'
import { type PageRoute, parsePageRoute } from './routes/page-route.ts'
import { parseBaseName, parseStorePathHash, type StorePathHash } from '../nix/store-path.ts'
import { apiPrefix, type ApiRoute, apiRoute } from './api/api-endpoints.ts'

/** What a request's path asks for. Only whole, exact paths are known, so that none can lead anywhere else. */
export type Route =
  | { readonly kind: 'cache-info' }
  | { readonly kind: 'narinfo'; readonly hash: StorePathHash }
  | { readonly kind: 'listing'; readonly hash: StorePathHash }
  | { readonly kind: 'nar'; readonly key: NarFileKey }
  | { readonly kind: 'log'; readonly derivation: string }
  | { readonly kind: 'realisation'; readonly output: DrvOutput }
  | { readonly kind: 'explain'; readonly hash: StorePathHash; readonly isLive: boolean }
  | ApiRoute
  | { readonly kind: 'public-key' }
  | { readonly kind: 'healthz' }
  | { readonly kind: 'readyz' }
  | { readonly kind: 'metrics' }
  | PageRoute
  /** The rest of the cache protocol (debuginfo), until it can be vouched for; and anything else. */
  | { readonly kind: 'not-served' }

const fixedRoutes: ReadonlyMap<string, Route> = new Map<string, Route>([
  ['/nix-cache-info', { kind: 'cache-info' }],
  ['/public-key', { kind: 'public-key' }],
  ['/healthz', { kind: 'healthz' }],
  ['/readyz', { kind: 'readyz' }],
  ['/metrics', { kind: 'metrics' }],
])

const explainPrefix = '/api/v1/explain/'
const narinfoSuffix = '.narinfo'
const listingSuffix = '.ls'
const realisationSuffix = '.doi'
const notServed: Route = { kind: 'not-served' }

/** The route of a request target; a query is passed over, and so is a doubled leading slash (`substituters = …/`). */
export function parseRoute(target: string): Route {
  const query = target.indexOf('?')
  const path = (query === -1 ? target : target.slice(0, query)).replace(/^\/{2,}/, '/')
  if (path.endsWith(narinfoSuffix)) {
    const hash = parseStorePathHash(path.slice(1, -narinfoSuffix.length))
    return hash === null ? notServed : { kind: 'narinfo', hash }
  }
  if (path.endsWith(listingSuffix)) {
    const hash = parseStorePathHash(path.slice(1, -listingSuffix.length))
    return hash === null ? notServed : { kind: 'listing', hash }
  }
  if (path.startsWith('/nar/')) {
    const key = parseNarFileName(path.slice('/nar/'.length))
    return key === null ? notServed : { kind: 'nar', key }
  }
  if (path.startsWith('/log/')) {
    const derivation = parseBaseName(path.slice('/log/'.length))
    return derivation?.name.endsWith('.drv') === true
      ? { kind: 'log', derivation: derivation.baseName }
      : notServed
  }
  if (path.endsWith(realisationSuffix)) {
    const output = parseDrvOutputFile(unescapeId(path.slice(1)))
    return output === null ? notServed : { kind: 'realisation', output }
  }
  if (path.startsWith(explainPrefix)) {
    const hash = parseStorePathHash(path.slice(explainPrefix.length))
    const isLive = query !== -1 && new URLSearchParams(target.slice(query)).has('live')
    return hash === null ? { kind: 'api-unknown' } : { kind: 'explain', hash, isLive }
  }
  if (path.startsWith(apiPrefix)) {
    return apiRoute(path.slice(apiPrefix.length), query === -1 ? '' : target.slice(query + 1))
  }
  return (
    fixedRoutes.get(path) ??
    parsePageRoute(path, query === -1 ? '' : target.slice(query + 1)) ??
    notServed
  )
}

/** Nix asks with `:` and `!` as they are; what stands in between may have escaped them. No other escape is known. */
function unescapeId(file: string): string {
  return file.replaceAll(/%3a/gi, ':').replaceAll('%21', '!')
}
