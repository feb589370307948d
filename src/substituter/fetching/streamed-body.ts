import type { NarBody } from './nar-body.ts'
import type { StreamWindow } from './stream-window.ts'
import { type Transfer, TransferBrokenError } from './transfer.ts'

export type StreamedBodyOptions = {
  readonly transfer: Transfer
  readonly window: StreamWindow
  /** The reader took nothing for so long: it is cut off. */
  readonly stalledMs: number
  readonly stalled: () => void
  /** Resolves once nothing of the stream is left. */
  readonly end: () => Promise<void>
}

/** The body of a NAR that passes its one reader: it can be read forwards only. Its ETag is known once something was released. */
export function streamedBody(options: StreamedBodyOptions): NarBody {
  const { transfer, window } = options
  let timer: NodeJS.Timeout | undefined
  let isCut = false
  const cut = (): void => {
    isCut = true
    options.stalled()
  }
  return {
    get etag() {
      return transfer.etag
    },
    get size() {
      return transfer.size
    },
    wholeSize() {
      // What passes as it comes would have gone by.
      if (transfer.size !== null) return Promise.resolve(transfer.size)
      return Promise.reject(new TransferBrokenError('the size of the NAR’s file is not known yet'))
    },
    async read(buffer, position, signal) {
      clearTimeout(timer)
      if (isCut) throw new TransferBrokenError('the client took nothing for too long')
      window.moveTo(position)
      try {
        return await transfer.read(buffer, position, signal)
      } finally {
        timer = setTimeout(cut, options.stalledMs).unref()
      }
    },
    async [Symbol.asyncDispose]() {
      clearTimeout(timer)
      await options.end()
    },
  }
}
