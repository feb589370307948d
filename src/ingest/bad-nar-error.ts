/**
 * What is wrong with a NAR as it came: its content is not the one that was promised, its encoding is broken, or there
 * is no memory to decode it.
 */
export type BadNarCode =
  | 'too-long'
  | 'too-short'
  | 'nar-hash-mismatch'
  /** It differs from what another source began to give: one of the two is wrong. */
  | 'prefix-mismatch'
  | 'content-address-mismatch'
  | 'file-hash-mismatch'
  | 'undecodable'
  | 'unsupported-compression'
  /** A compression that Weir decodes, and does not make. */
  | 'not-made'
  | 'out-of-memory'

/** A NAR that must not be kept or delivered. */
export class BadNarError extends Error {
  override readonly name = 'BadNarError'
  readonly code: BadNarCode

  constructor(code: BadNarCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
