/** The error of everything that reads NARs; `nar.ts` specifies the format. */

/** What is wrong with a NAR. */
export type NarErrorCode =
  | 'not-a-nar'
  | 'unexpected-token'
  | 'bad-padding'
  | 'bad-name'
  | 'names-out-of-order'
  | 'bad-target'
  | 'too-deep'
  | 'too-large'
  | 'trailing-bytes'
  | 'truncated'

/** A NAR that breaks the grammar or a limit; `offset` is the NAR offset in bytes near which it does. */
export class NarError extends Error {
  override readonly name = 'NarError'
  readonly code: NarErrorCode
  readonly offset: number

  constructor(code: NarErrorCode, offset: number) {
    super(`malformed NAR near byte ${offset}: ${code}`)
    this.code = code
    this.offset = offset
  }
}
