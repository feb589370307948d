import type { Compression } from '../nix/compression.ts'

/** Tags that web pages begin with. */
const opening = /^\s*<(?:!doctype|!--|\?xml|html|head|body|title)/i

/** Whether a file begins as a web page, which no NAR does, however it is compressed; br has no beginning of its own. */
export function isWebPage(compression: Compression, beginning: Uint8Array): boolean {
  if (compression === 'br') return false
  return opening.test(Buffer.from(beginning.subarray(0, 64)).toString('latin1'))
}
