/** What a request cannot be: the caller's mistake, in words. */
export class BadRequestError extends Error {
  override readonly name = 'BadRequestError'
}
