import type { DeliveredNar, SourceFailure } from '../../ports/nar-ingest.ts'
import type { NarFile } from '../../ports/nar-store.ts'
import { TransferProgress } from './transfer-progress.ts'

/**
 * Why a transfer ended without a NAR: nobody had it, nobody could tell, what came was wrong, it is trusted no more, or its file could not be
 * written.
 */
export type TransferFailure = {
  readonly kind: 'absent' | 'unknown' | 'corrupt' | 'refused' | 'unwritten'
  readonly failures: readonly SourceFailure[]
}

type State =
  | { readonly kind: 'growing' }
  | { readonly kind: 'complete' }
  | { readonly kind: 'failed'; readonly failure: TransferFailure }

/** A body that is thrown away: the NAR turned out wrong, or its sources broke off, after part of it was handed out. */
export class TransferBrokenError extends Error {
  override readonly name = 'TransferBrokenError'
}

/**
 * One NAR on its way in. Many read its file at their own speed, up to what has been released; the file stays open for
 * as long as anybody reads it, whatever becomes of its name.
 */
export class Transfer {
  readonly progress = new TransferProgress()
  #file: Pick<NarFile, 'read' | 'close'> | null = null
  #state: State = { kind: 'growing' }
  #released = 0
  #etag = ''
  #change = Promise.withResolvers<undefined>()
  #holders = 1
  readonly #ended = Promise.withResolvers<undefined>()

  /** Bytes that may be handed out. */
  get released(): number {
    return this.#released
  }

  /** The representation's ETag; empty before anything was released. */
  get etag(): string {
    return this.#etag
  }

  /** The whole file's bytes, `null` while it grows. */
  get size(): number | null {
    return this.#state.kind === 'complete' ? this.#released : null
  }

  /** Why it failed; `null` where it did not, or not yet. */
  get failure(): TransferFailure | null {
    return this.#state.kind === 'failed' ? this.#state.failure : null
  }

  /** Resolves once it is whole, or will not be. */
  get ended(): Promise<unknown> {
    return this.#ended.promise
  }

  /** Gives it the file that it grows in. */
  attach(file: Pick<NarFile, 'read' | 'close'>): void {
    this.#file = file
  }

  release(bytes: number, etag: string): void {
    if (this.#state.kind !== 'growing' || bytes <= this.#released) return
    this.#released = bytes
    this.#etag = etag
    this.#signal()
  }

  complete(outcome: DeliveredNar): void {
    this.#released = outcome.fileBytes
    // The tag that went out with the first bytes stays: clients compare it between tries.
    if (this.#etag === '') this.#etag = outcome.etag
    this.#state = { kind: 'complete' }
    this.#signal()
    this.#ended.resolve(undefined)
  }

  /** Ends it; a transfer that is complete stays so, whatever becomes of keeping it. */
  fail(failure: TransferFailure): void {
    if (this.#state.kind !== 'growing') return
    this.#state = { kind: 'failed', failure }
    this.#signal()
    this.#ended.resolve(undefined)
  }

  /** Resolves when more than `bytes` bytes are released, or when nothing more will be. */
  async moreThan(bytes: number, signal: AbortSignal): Promise<void> {
    while (this.#state.kind === 'growing' && this.#released <= bytes) {
      signal.throwIfAborted()
      await raceAbort(this.#change.promise, signal)
    }
  }

  /**
   * Reads released bytes at `position`, waiting for them; 0 at the end. Throws `TransferBrokenError` where the rest will
   * not come.
   */
  async read(buffer: Uint8Array, position: number, signal: AbortSignal): Promise<number> {
    await this.moreThan(position, signal)
    const available = this.#released - position
    if (available <= 0 && this.#state.kind === 'complete') return 0
    if (this.#state.kind === 'failed') throw new TransferBrokenError('the transfer broke off')
    if (this.#file === null) throw new TransferBrokenError('the transfer has no file')
    return this.#file.read(buffer.subarray(0, Math.min(buffer.length, available)), position)
  }

  /** Keeps the file open until the returned function is called. */
  hold(): () => Promise<void> {
    this.#holders += 1
    let isHeld = true
    return async () => {
      if (!isHeld) return
      isHeld = false
      await this.leave()
    }
  }

  /** Gives up the first hold, the one of whoever made the transfer. */
  async leave(): Promise<void> {
    this.#holders -= 1
    if (this.#holders === 0) await this.#file?.close()
  }

  #signal(): void {
    this.#change.resolve(undefined)
    this.#change = Promise.withResolvers()
  }
}

function raceAbort(promise: Promise<undefined>, signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      reject(signal.reason as Error)
    }
    signal.addEventListener('abort', abort, { once: true })
    void promise.then(() => {
      signal.removeEventListener('abort', abort)
      resolve(undefined)
    })
  })
}
