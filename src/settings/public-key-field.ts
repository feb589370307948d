import { parsePublicKey, type PublicKey } from '../nix/signature.ts'
import { describeFound } from './describe-found.ts'
import { explainedField, listField, type Reading } from './fields.ts'

/** What a public key may be. */
const PUBLIC_KEY_ALLOWED =
  'a public key, NAME:BASE64 with 32 bytes, such as "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY="'

/** A list of public keys. */
export function publicKeysField() {
  return listField(publicKeyField(), 'a list of public keys, ["NAME:BASE64", …]')
}

/** A public key. */
export function publicKeyField() {
  return explainedField(PUBLIC_KEY_ALLOWED, readPublicKey)
}

/** Reads a public key; a mistake says why it is none, and never repeats what follows its name. */
function readPublicKey(text: string): Reading<PublicKey> {
  const value = parsePublicKey(text)
  if (value !== null) return { kind: 'value', value }
  const secret = encodedLength(text) === 64
  const allowed = secret
    ? 'the public key that belongs to it; make a new pair if others could read this one'
    : PUBLIC_KEY_ALLOWED
  return { kind: 'mistake', found: findMistake(text), allowed }
}

function findMistake(text: string): string {
  const colon = text.indexOf(':')
  if (colon === -1) return 'a text without a colon'
  if (colon === 0) return 'a key without a name'
  const shown = describeFound(`${text.slice(0, colon)}:…`)
  const bytes = encodedLength(text)
  if (bytes === null) return `${shown}, which has something else than base64 after its colon`
  if (bytes === 64) return `${shown}, which is a secret key`
  if (bytes !== 32) return `${shown}, which has ${bytes} bytes instead of 32`
  return `${shown}, which is not written as Nix writes keys`
}

/** How many bytes the base64 after the first colon stands for; null where that is no base64. */
function encodedLength(text: string): number | null {
  const encoded = text.slice(text.indexOf(':') + 1)
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(encoded) || encoded.length % 4 !== 0) return null
  return Buffer.from(encoded, 'base64').length
}
