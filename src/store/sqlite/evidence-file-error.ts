/** A file of evidence that cannot be used as it is; the message names it and says what to do. */
export class EvidenceFileError extends Error {
  override readonly name = 'EvidenceFileError'
  readonly code: 'damaged' | 'newer' | 'unusable'

  constructor(code: EvidenceFileError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
