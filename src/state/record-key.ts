import { createSecretKey, hkdfSync, type KeyObject } from 'node:crypto'
import { formatSecretKey, type SecretKey } from '../nix/signature.ts'

/** The key that seals the records in the cache folder: derived from Weir's signing key, and of no use for anything else. */
export function recordKeyOf(signingKey: SecretKey): KeyObject {
  // Not its name, so that a key that is renamed still opens what it sealed.
  const [, secret = ''] = formatSecretKey(signingKey).split(':')
  const derived = hkdfSync('sha256', Buffer.from(secret, 'base64'), '', 'weir sealed record 1', 32)
  return createSecretKey(Buffer.from(derived))
}
