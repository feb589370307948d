/**
 * nix32, Nix's base 32.
 *
 * Alphabet `0123456789abcdfghijklmnpqrsvwxyz` (no e, o, t, u), lower case only. n bytes take ⌊(8n−1)/5⌋+1 characters. The
 * bytes are one little-endian number whose 5-bit digits are written most significant first: the character at distance k from
 * the end holds the bits 5k … 5k+4. Bits beyond the last byte are zero; text in which they are not is invalid.
 */

const alphabet = '0123456789abcdfghijklmnpqrsvwxyz'

const digitOf: ReadonlyMap<string, number> = new Map(
  Array.from(alphabet, (character, digit) => [character, digit]),
)

/** The number of nix32 characters that a number of bytes takes. */
export function nix32Length(byteLength: number): number {
  return byteLength === 0 ? 0 : Math.floor((byteLength * 8 - 1) / 5) + 1
}

/** Bytes as nix32 text, `nix32Length` characters long. */
export function encodeNix32(bytes: Uint8Array): string {
  let text = ''
  for (let k = nix32Length(bytes.length) - 1; k >= 0; k--) {
    const index = (5 * k) >> 3
    const shift = (5 * k) & 7
    const low = (bytes[index] ?? 0) >> shift
    const high = (bytes[index + 1] ?? 0) << (8 - shift)
    text += alphabet.charAt((low | high) & 31)
  }
  return text
}

/** The bytes that nix32 text stands for, or null where no bytes are written like that. */
export function decodeNix32(text: string): Uint8Array | null {
  const bytes = new Uint8Array(Math.floor((text.length * 5) / 8))
  if (nix32Length(bytes.length) !== text.length) return null
  for (let k = 0; k < text.length; k++) {
    const digit = digitOf.get(text.charAt(text.length - 1 - k))
    if (digit === undefined) return null
    const index = (5 * k) >> 3
    const shifted = digit << ((5 * k) & 7)
    const overflow = shifted >> 8
    bytes[index] = (bytes[index] ?? 0) | (shifted & 0xff)
    if (index + 1 < bytes.length) bytes[index + 1] = overflow
    else if (overflow !== 0) return null
  }
  return bytes
}
