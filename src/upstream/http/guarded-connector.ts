import { lookup as systemLookup, type LookupAddress, type LookupAllOptions } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'
import type { SecureContext } from 'node:tls'
import { buildConnector } from 'undici'
import { UpstreamError } from '../../ports/upstream.ts'
import { reachOfAddress, unbracket } from './network-reach.ts'
import type { Target } from '../url-rules.ts'

/** Resolves a name to all its addresses: `dns.lookup` with `all`, replaceable in tests. */
export type Lookup = (
  hostname: string,
  options: LookupAllOptions,
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void

export type ConnectorOptions = {
  readonly connectTimeoutMs: number
  /** Whether what is connected to may be at a private address. */
  readonly mayBePrivate: (target: Target) => boolean
  /** What is believed and shown under TLS; undefined: what Node believes. What it throws, connecting fails with. */
  readonly secureContext?: () => SecureContext | undefined
  readonly lookup?: Lookup
}

/**
 * Connects to upstreams, and checks each address at the moment of connecting: a name that is checked first and resolved
 * again later can lead elsewhere (DNS rebinding). A private address that was not meant is an `address-refused`.
 */
export function createGuardedConnector(options: ConnectorOptions): buildConnector.connector {
  const lookup = options.lookup ?? systemLookup
  const connectorFor = (isAllowed: (address: string) => boolean): buildConnector.connector =>
    createConnector(options, { lookup: checkedLookup(lookup, isAllowed) })
  const connectors = {
    open: connectorFor(() => true),
    guarded: connectorFor((address) => reachOfAddress(address) === 'public'),
  }
  return (target, callback) => {
    const host = unbracket(target.hostname)
    const hostname = isIP(host) === 6 ? `[${host}]` : host
    const mayBePrivate = options.mayBePrivate({ ...target, hostname })
    // An address is not looked up, so it is checked here.
    if (!mayBePrivate && isIP(host) !== 0 && reachOfAddress(host) === 'private') {
      callback(refusedAddress(host, host), null)
      return
    }
    connectors[mayBePrivate ? 'open' : 'guarded'](target, callback)
  }
}

/** undici's connector over HTTP/1.1, whose context for TLS is made when the first connection needs it. */
export function createConnector(
  { connectTimeoutMs, secureContext = () => undefined }: Omit<ConnectorOptions, 'mayBePrivate'>,
  tcp: { readonly lookup?: LookupFunction } = {},
): buildConnector.connector {
  const common = { ...tcp, timeout: connectTimeoutMs, allowH2: false }
  const plain = buildConnector(common)
  let secure: buildConnector.connector | null = null
  return (target, callback) => {
    if (target.protocol !== 'https:') {
      plain(target, callback)
      return
    }
    try {
      const context = secureContext()
      secure ??= buildConnector(
        context === undefined ? common : { ...common, secureContext: context },
      )
    } catch (error) {
      callback(error instanceof Error ? error : new Error(String(error)), null)
      return
    }
    secure(target, callback)
  }
}

function checkedLookup(lookup: Lookup, isAllowed: (address: string) => boolean): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) {
        callback(error, [])
        return
      }
      const allowed = addresses.filter(({ address }) => isAllowed(address))
      const [first] = allowed
      if (first === undefined) {
        callback(refusedAddress(hostname, addresses[0]?.address ?? 'no address'), [])
      } else if (options.all === true) {
        callback(null, allowed)
      } else {
        callback(null, first.address, first.family)
      }
    })
  }
}

/** A host that was not meant to be at a private address. */
export function refusedAddress(host: string, address: string): UpstreamError {
  return new UpstreamError(
    'address-refused',
    `${host} leads to the private address ${address}: name the host in redirect_hosts if that is meant`,
  )
}
