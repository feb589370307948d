import { isIP } from 'node:net'
import type { IncomingMessage } from 'node:http'

/** The names under which Weir may be asked. */
export type OwnNames = {
  /** Lower case, IPv6 in brackets. */
  readonly names: ReadonlySet<string>
  /** Whether any IP address will do: one that Weir is forwarded at is not known here, and no name can be rebound to it. */
  readonly anyAddress: boolean
}

const loopbackNames = ['localhost', '127.0.0.1', '[::1]']

/** Weir's own names where it listens on `host`: that host, loopback's names, the machine's and the configured ones. */
export function ownNames(
  host: string,
  machineName: string,
  configured: readonly string[],
): OwnNames {
  const bracketed = isIP(host) === 6 ? `[${host}]` : host
  const isLoopback = loopbackNames.includes(bracketed) || host.startsWith('127.')
  const machine = isLoopback ? [] : [machineName]
  return {
    names: new Set(
      [...loopbackNames, bracketed, ...machine, ...configured].map((name) => name.toLowerCase()),
    ),
    anyAddress: !isLoopback,
  }
}

/**
 * Why a request must not be answered: a Host that is not Weir's (a browser was led here by a name of somebody else's, DNS
 * rebinding), or another site's page that asks. `null` where it may be: also where a link on another site leads a person to one
 * of the pages, of which that site sees nothing.
 */
export function refusalOf(
  request: IncomingMessage,
  own: OwnNames,
  { isPage }: { readonly isPage: boolean },
): 'foreign-host' | 'cross-site' | null {
  const host = request.headers.host
  if (host === undefined || !isOwn(hostName(host), own)) return 'foreign-host'
  const site = request.headers['sec-fetch-site']
  const isForeign = site !== undefined && site !== 'same-origin' && site !== 'none'
  if (isForeign && !(isPage && isVisit(request))) return 'cross-site'
  const { origin } = request.headers
  if (origin !== undefined && URL.parse(origin)?.host !== host.toLowerCase()) return 'cross-site'
  return null
}

/** Whether a browser opens what it asks for in a window of its own. */
function isVisit({ method, headers }: IncomingMessage): boolean {
  return (
    method === 'GET' &&
    headers['sec-fetch-mode'] === 'navigate' &&
    headers['sec-fetch-dest'] === 'document'
  )
}

function isOwn(name: string, own: OwnNames): boolean {
  const bare = name.startsWith('[') ? name.slice(1, -1) : name
  return own.names.has(name) || (own.anyAddress && isIP(bare) !== 0)
}

/** The name in a Host header, without its port. */
function hostName(host: string): string {
  return host.toLowerCase().replace(/:\d*$/, '').replace(/\.$/, '')
}
