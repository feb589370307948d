import { type NarFileKey, narFileName } from '../../nix/nar-key.ts'
import type { Log } from '../../ports/log.ts'
import type { Destination } from './destination.ts'
import type { Transfer } from './transfer.ts'

/** What an ingestion releases, on its way to those who wait. */
export type Releases = {
  release(bytes: number, etag: string): void
  /** Resolves when all that was released so far may be read. */
  settled(): Promise<void>
}

/** Hands on what is released, once its ETag is noted with the file, where there is one: who resumes after a crash must not be given another file's rest. */
export function createReleases(
  { log }: { readonly log: Log },
  {
    key,
    destination,
    transfer,
  }: { readonly key: NarFileKey; readonly destination: Destination; readonly transfer: Transfer },
): Releases {
  let noted: Promise<void> | null = null
  let last: Promise<void> = Promise.resolve()
  return {
    release(bytes, etag) {
      if (destination.kind === 'reader') {
        transfer.release(bytes, etag)
        return
      }
      const { staged } = destination
      staged.reserve(bytes)
      noted ??= staged.noteEtag(key, etag).catch((error: unknown) => {
        log.warn({ event: 'transfer.not-noted', nar: narFileName(key), err: error })
      })
      last = noted.then(() => {
        transfer.release(bytes, etag)
      })
    },
    settled: () => last,
  }
}
