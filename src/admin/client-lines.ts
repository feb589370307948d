import { formatPublicKey, type PublicKey } from '../nix/signature.ts'
import type { SigningMode, UpstreamSettings } from '../settings/settings.ts'

export type ClientLinesOptions = {
  /** `http://…` */
  readonly address: string
  readonly publicKey: string
  readonly mode: SigningMode
  readonly upstreams: readonly UpstreamSettings[]
}

/** The lines of nix.conf that make a client ask Weir, and nothing else. */
export function clientLines(options: ClientLinesOptions): readonly string[] {
  const { address, publicKey, mode, upstreams } = options
  const keys = mode === 'keep' ? upstreamKeys(upstreams) : [publicKey]
  return [
    `substituters = ${address}`,
    `trusted-public-keys = ${keys.join(' ')}`,
    // The default, an hour, is for caches that nothing stands in front of.
    'narinfo-cache-negative-ttl = 60',
  ]
}

function upstreamKeys(upstreams: readonly UpstreamSettings[]): readonly string[] {
  const keys: readonly PublicKey[] = upstreams.flatMap((upstream) => upstream.keys)
  return [...new Set(keys.map(formatPublicKey))]
}
