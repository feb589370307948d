/** A body that is handed over chunk by chunk, to one reader: whoever gives it may change on the way. */
export class FedBody implements AsyncIterable<Uint8Array> {
  #given = Promise.withResolvers<Uint8Array | null>()
  #used = Promise.withResolvers<undefined>()
  #hasLeft = false

  /** Whether the reader takes no more. */
  get hasLeft(): boolean {
    return this.#hasLeft
  }

  /** Gives the next chunk, and resolves once the reader asks for more; throws what the reader failed with. */
  feed(chunk: Uint8Array): Promise<undefined> {
    if (!this.#hasLeft) {
      this.#used = Promise.withResolvers()
      this.#given.resolve(chunk)
    }
    return this.#used.promise
  }

  end(): void {
    this.#given.resolve(null)
  }

  /** Makes the reader fail: there will be no more. */
  breakOff(error: Error): void {
    this.#given.promise.catch(() => undefined)
    this.#given.reject(error)
  }

  /** The reader is through, or has failed: it takes no more. */
  left(failure: Error | null): void {
    this.#hasLeft = true
    this.#used.promise.catch(() => undefined)
    if (failure === null) this.#used.resolve(undefined)
    else this.#used.reject(failure)
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = await this.#given.promise
      if (chunk === null) return
      this.#given = Promise.withResolvers()
      yield chunk
      this.#used.resolve(undefined)
    }
  }
}
