import ipaddr from 'ipaddr.js'

/** Whether a name or an address says of itself that it is not on the public internet. */
export type Reach = 'public' | 'private'

/** Names that never are public: RFC 6761, RFC 6762, RFC 8375, and ICANN's reserved `.internal`. */
const privateSuffixes = ['.localhost', '.local', '.internal', '.home.arpa', '.test', '.lan']

/** The reach of an IP address as text; what is no global unicast address is private. */
export function reachOfAddress(address: string): Reach {
  if (!ipaddr.isValid(address)) return 'private'
  const parsed = ipaddr.process(address)
  // All of IPv6 that is given out to the public internet lies in 2000::/3.
  const isOutside = parsed instanceof ipaddr.IPv6 && ((parsed.parts[0] ?? 0) & 0xe000) !== 0x2000
  return parsed.range() === 'unicast' && !isOutside ? 'public' : 'private'
}

/**
 * The reach that an operator means by writing this host: an address speaks for itself, a name without a dot or under a
 * reserved suffix is private, every other name is public, wherever DNS says that it leads.
 */
export function reachOfHost(host: string): Reach {
  const bare = unbracket(host)
  if (ipaddr.isValid(bare)) return reachOfAddress(bare)
  const name = bare.toLowerCase().replace(/\.$/, '')
  if (!name.includes('.')) return 'private'
  return privateSuffixes.some((suffix) => name.endsWith(suffix)) ? 'private' : 'public'
}

/** `[::1]` as URLs write it becomes `::1`. */
export function unbracket(host: string): string {
  return host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host
}
