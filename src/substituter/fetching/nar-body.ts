import type { NarFile } from '../../ports/nar-store.ts'
import type { Transfer } from './transfer.ts'

/** A NAR's zstd representation as it is handed out: a stored file, or one that is still growing. */
export type NarBody = AsyncDisposable & {
  /** With its quotes. */
  readonly etag: string
  /** Bytes; `null` while nobody knows. */
  readonly size: number | null
  /** The size, once it is known; throws where the NAR broke off. */
  wholeSize(signal: AbortSignal): Promise<number>
  /** Reads at `position`, waiting for what has not come yet; 0 at the end. Throws where the NAR broke off. */
  read(buffer: Uint8Array, position: number, signal: AbortSignal): Promise<number>
}

/** The body of a stored file, which it closes; `unreadable` is told once where the disk does not give a part of it. */
export function storedBody(
  file: NarFile,
  { fileBytes: size, etag }: { readonly fileBytes: number; readonly etag: string },
  unreadable: (error: unknown) => void,
): NarBody {
  let isTold = false
  return {
    etag,
    size,
    wholeSize: () => Promise.resolve(size),
    read: async (buffer, position) => {
      try {
        return await file.read(buffer, position)
      } catch (error) {
        if (!isTold) unreadable(error)
        isTold = true
        throw error
      }
    },
    [Symbol.asyncDispose]: () => file.close(),
  }
}

/** The body of a transfer; its ETag is known once something was released. */
export function transferBody(transfer: Transfer): NarBody {
  const letGo = transfer.hold()
  return {
    get etag() {
      return transfer.etag
    },
    get size() {
      return transfer.size
    },
    async wholeSize(signal) {
      while (transfer.size === null) {
        // A read at what is released waits for more, and throws where nothing more comes.
        await transfer.read(new Uint8Array(1), transfer.released, signal)
      }
      return transfer.size
    },
    read: (buffer, position, signal) => transfer.read(buffer, position, signal),
    [Symbol.asyncDispose]: letGo,
  }
}
