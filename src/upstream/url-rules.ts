import { UpstreamError } from '../ports/upstream.ts'

/** Hosts, `name` or `name:port`, that an upstream may lead to besides its own. */
export type RedirectHosts = readonly string[]

/**
 * The address of a narinfo's `URL` field below the cache's root (RFC 3986). What leaves the root or the origin is
 * refused with `url-refused`, unless `redirectHosts` names the other host.
 */
export function resolveNarUrl(root: URL, url: string, redirectHosts: RedirectHosts): URL {
  const resolved = parse(url, root)
  if (resolved === null || hasDotSegment(url)) {
    throw new UpstreamError('url-refused', `the narinfo's URL ${quote(url)} is not allowed`)
  }
  if (resolved.origin === root.origin) {
    if (resolved.pathname.startsWith(root.pathname)) return resolved
    throw new UpstreamError(
      'url-refused',
      `the narinfo's URL ${quote(url)} leaves the cache's folder`,
    )
  }
  if (!namesHost(redirectHosts, resolved) || downgrades(root, resolved)) {
    throw new UpstreamError(
      'url-refused',
      `the narinfo's URL leads to another host, ${resolved.host}: name it in redirect_hosts if that is meant`,
    )
  }
  return resolved
}

/** The address that a redirect leads to; one to another scheme than http and https, or from https to http, is refused. */
export function resolveRedirect(from: URL, location: string): URL {
  const to = parse(location, from)
  if (to === null) {
    throw new UpstreamError('redirect-refused', `a redirect to ${quote(location)} is not followed`)
  }
  if (downgrades(from, to)) {
    throw new UpstreamError(
      'redirect-refused',
      `a redirect from https to http (${to.host}) is not followed`,
    )
  }
  return to
}

/** Where a connection goes: what `URL` calls `hostname` (IPv6 in brackets), `port` and `protocol`. */
export type Target = Pick<URL, 'hostname' | 'port' | 'protocol'>

/** Whether the list names the target's host, with its port or without one. */
export function namesHost(hosts: RedirectHosts, { hostname, port, protocol }: Target): boolean {
  const effectivePort = port === '' ? (protocol === 'https:' ? '443' : '80') : port
  return hosts.some((host) => host === hostname || host === `${hostname}:${effectivePort}`)
}

function parse(text: string, base: URL): URL | null {
  const url = URL.parse(text, base.href)
  if (url === null) return null
  const plain = url.username === '' && url.password === '' && url.hash === ''
  return plain && (url.protocol === 'http:' || url.protocol === 'https:') ? url : null
}

function downgrades(from: URL, to: URL): boolean {
  return from.protocol === 'https:' && to.protocol === 'http:'
}

/** `..` in any disguise that a server might undo: percent-encoded, or with backslashes. */
export function hasDotSegment(url: string): boolean {
  const path = url.split('?', 1)[0] ?? ''
  const plain = path.replaceAll(/%2e/gi, '.').replaceAll(/%2f|%5c|\\/gi, '/')
  return path.includes('\\') || plain.split('/').some((part) => /^\.\.?(;|$)/.test(part))
}

/** What a peer wrote, shortened, and without what may be a password or a signed query: clients are told it. */
function quote(text: string): string {
  const plain = text.replaceAll(/\/\/[^/?#]*@/g, '//…@').replace(/\?.*$/s, '?…')
  return JSON.stringify(plain.length > 200 ? `${plain.slice(0, 200)}…` : plain)
}
