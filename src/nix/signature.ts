/**
 * Signatures and the keys that make them.
 *
 *   public key = name ":" base64(32 bytes)
 *   secret key = name ":" base64(64 bytes: seed, then public key)
 *   signature  = name ":" base64(64 bytes)
 *
 * Ed25519 (RFC 8032), detached, over the UTF-8 bytes of a message. The split is at the first colon; a name is not empty and has
 * neither white space nor invisible characters. base64 is canonical. The name in a signature is only a hint: bytes decide.
 */
import { Buffer } from 'node:buffer'
import {
  type KeyObject,
  createPrivateKey,
  createPublicKey,
  sign as signBytes,
  verify,
} from 'node:crypto'
import nacl from 'tweetnacl'
import { decodeBase64, encodeBase64 } from './base64.ts'

/** A key that may vouch; `bytes` are its 32 raw bytes, `keyObject` the same for node:crypto. */
export type PublicKey = {
  readonly name: string
  readonly bytes: Uint8Array
  readonly keyObject: KeyObject
}

/** A key that signs; the secret itself stays inside `keyObject`, where no log can print it. */
export type SecretKey = {
  readonly name: string
  readonly publicKey: PublicKey
  readonly keyObject: KeyObject
}

/** A detached signature; `bytes` are 64, `keyName` says which key claims to have made it. */
export type Signature = { readonly keyName: string; readonly bytes: Uint8Array }

const seedLength = 32
const publicKeyLength = 32
const signatureLength = 64
const keyNamePattern = /^[^\s\p{C}:]+$/u
// The fixed DER that wraps a raw Ed25519 key (RFC 8410).
const spkiPrefix = Buffer.from('302a300506032b6570032100', 'hex')
const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex')

/** Whether a text may name a key: not empty, no colon, no white space, nothing invisible. */
export function isKeyName(text: string): boolean {
  return keyNamePattern.test(text)
}

/** The public key that a text such as `cache.nixos.org-1:6NCH…` stands for, or null. */
export function parsePublicKey(text: string): PublicKey | null {
  const named = parseNamed(text, publicKeyLength)
  return named === null ? null : publicKey(named.name, named.bytes)
}

/** A public key as `name:base64`. */
export function formatPublicKey(key: PublicKey): string {
  return `${key.name}:${encodeBase64(key.bytes)}`
}

/** The secret key that a text stands for, or null, also where its public half is not that of its seed. */
export function parseSecretKey(text: string): SecretKey | null {
  const named = parseNamed(text, seedLength + publicKeyLength)
  if (named === null) return null
  const key = secretKey(named.name, named.bytes.subarray(0, seedLength))
  const statedPublic = named.bytes.subarray(seedLength)
  return Buffer.compare(key.publicKey.bytes, statedPublic) === 0 ? key : null
}

/** A secret key as `name:base64`: the text is the secret. */
export function formatSecretKey(key: SecretKey): string {
  const seed = key.keyObject.export({ format: 'der', type: 'pkcs8' }).subarray(pkcs8Prefix.length)
  return `${key.name}:${encodeBase64(Buffer.concat([seed, key.publicKey.bytes]))}`
}

/** The public half of a secret key, under the same name. */
export function publicKeyOf(secret: SecretKey): PublicKey {
  return secret.publicKey
}

/** A new secret key from the system's randomness; throws a RangeError where `isKeyName(name)` is false. */
export function generateSecretKey(name: string): SecretKey {
  if (!isKeyName(name)) throw new RangeError(`not a key name: ${JSON.stringify(name)}`)
  return secretKey(name, nacl.sign.keyPair().secretKey.subarray(0, seedLength))
}

/** The signature that the value of a `Sig` field stands for, or null. */
export function parseSignature(text: string): Signature | null {
  const named = parseNamed(text, signatureLength)
  return named === null ? null : { keyName: named.name, bytes: named.bytes }
}

/** A signature as `name:base64`. */
export function formatSignature(signature: Signature): string {
  return `${signature.keyName}:${encodeBase64(signature.bytes)}`
}

/** Whether this key made this signature over the message; the signature's key name is not looked at. */
export function verifySignature(key: PublicKey, message: string, signature: Signature): boolean {
  return verify(null, Buffer.from(message, 'utf8'), key.keyObject, signature.bytes)
}

/** The signature of a message by a secret key, under the key's name. */
export function sign(secret: SecretKey, message: string): Signature {
  const bytes = signBytes(null, Buffer.from(message, 'utf8'), secret.keyObject)
  return { keyName: secret.name, bytes: new Uint8Array(bytes) }
}

function parseNamed(text: string, byteLength: number) {
  const colon = text.indexOf(':')
  const name = text.slice(0, Math.max(colon, 0))
  if (!isKeyName(name)) return null
  const bytes = decodeBase64(text.slice(colon + 1))
  return bytes?.length === byteLength ? { name, bytes } : null
}

function publicKey(name: string, bytes: Uint8Array): PublicKey {
  const der = Buffer.concat([spkiPrefix, bytes])
  return { name, bytes, keyObject: createPublicKey({ key: der, format: 'der', type: 'spki' }) }
}

function secretKey(name: string, seed: Uint8Array): SecretKey {
  const der = Buffer.concat([pkcs8Prefix, seed])
  const keyObject = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  const publicDer = createPublicKey(keyObject).export({ format: 'der', type: 'spki' })
  return {
    name,
    publicKey: publicKey(name, new Uint8Array(publicDer.subarray(spkiPrefix.length))),
    keyObject,
  }
}
