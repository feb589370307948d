import type { Transform } from 'node:stream'
import { BadNarError } from './bad-nar-error.ts'

/**
 * Drives a transform by pushing: when `write` resolves, everything that the chunk gave has been through `onOutput`, so
 * that what was released can be told from what is still inside.
 */
export class PushStream implements Disposable {
  readonly #transform: Transform
  #failure: Error | null = null
  #reject: (error: Error) => void = () => undefined

  /** An error that `onOutput` throws stops the stream and is thrown by `write` or `end`. */
  constructor(transform: Transform, onOutput: (chunk: Uint8Array) => void) {
    this.#transform = transform
    transform.on('error', (error) => {
      this.#fail(error)
    })
    transform.on('data', (chunk: Uint8Array) => {
      if (this.#failure !== null) return
      try {
        onOutput(chunk)
      } catch (error) {
        this.#fail(error instanceof Error ? error : new Error(String(error)))
      }
    })
  }

  write(chunk: Uint8Array): Promise<void> {
    return this.#act((done) => this.#transform.write(chunk, done))
  }

  /** Ends the input and resolves when the last output has come. */
  end(): Promise<void> {
    return this.#act((done) => {
      this.#transform.once('end', () => {
        done(null)
      })
      this.#transform.end()
    })
  }

  [Symbol.dispose](): void {
    this.#transform.destroy()
  }

  #act(start: (done: (error?: Error | null) => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== null) {
        reject(this.#failure)
        return
      }
      this.#reject = reject
      start((error) => {
        const failure = this.#failure ?? error ?? null
        if (failure === null) resolve()
        else reject(failure)
      })
    })
  }

  #fail(error: Error): void {
    this.#failure ??= error
    this.#reject(this.#failure)
    this.#transform.destroy()
  }
}

/** Throws what a decoder threw as a `BadNarError`. */
export function rethrowUndecodable(error: unknown): never {
  if (error instanceof BadNarError) throw error
  throw new BadNarError('undecodable', 'the NAR is not decodable', { cause: error })
}
