/**
 * base64 (RFC 4648 §4), canonical only: the standard alphabet, with padding, without white space, unused bits zero. Each byte
 * string has exactly one such text, so that a key or a signature cannot be written in two ways.
 */
import { Buffer } from 'node:buffer'

/** Bytes as padded base64. */
export function encodeBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}

/** The bytes of canonical base64 text, or null for any other text. */
export function decodeBase64(text: string): Uint8Array | null {
  // Buffer skips what it does not know and accepts missing padding: only text that comes back the same was canonical.
  const decoded = Buffer.from(text, 'base64')
  if (decoded.toString('base64') !== text) return null
  // A copy, since a small Buffer is a view that keeps a whole shared pool alive.
  return new Uint8Array(decoded)
}
