import { isIPv4, isIPv6 } from 'node:net'

const NAME = /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_](?:[a-z0-9_-]{0,62}))*$/

/** A host name or IP address, in lower case and with IPv6 in brackets (as URL.hostname has it); null for anything else, a port included. */
export function parseHostName(text: string): string | null {
  const lower = text.toLowerCase()
  const bare = lower.startsWith('[') && lower.endsWith(']') ? lower.slice(1, -1) : lower
  if (isIPv6(bare))
    return bare.includes('%') ? null : (URL.parse(`http://[${bare}]`)?.hostname ?? null)
  if (bare !== lower) return null
  if (isIPv4(lower)) return lower
  // "1.2.3" and "0x7f.1" are addresses to a URL parser, but names to a reader.
  return NAME.test(lower) && URL.parse(`http://${lower}`)?.hostname === lower ? lower : null
}

/** HOST or HOST:PORT in the form of `parseHostName`; null for anything else, a scheme or a path included. */
export function parseHostPattern(text: string): string | null {
  const host = parseHostName(text)
  if (host !== null) return host
  const colon = text.lastIndexOf(':')
  if (colon === -1) return null
  const name = parseHostName(text.slice(0, colon))
  const port = parsePort(text.slice(colon + 1))
  const ambiguous = name?.startsWith('[') === true && !text.startsWith('[')
  return name === null || port === null || port === 0 || ambiguous ? null : `${name}:${port}`
}

/** A port from 0 to 65535 in plain decimal; null for anything else. */
export function parsePort(text: string): number | null {
  if (!/^(?:0|[1-9]\d{0,4})$/.test(text)) return null
  const port = Number(text)
  return port <= 65_535 ? port : null
}
