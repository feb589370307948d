/** A file of the state folder that cannot be used as it is; the message names it and says what to do. */
export class StateFileError extends Error {
  override readonly name = 'StateFileError'
}
