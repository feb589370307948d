import * as nodeFiles from 'node:fs/promises'
import { type UpstreamBody, UpstreamError } from '../../ports/upstream.ts'
import { createFairQueue } from '../../queue/fair-queue.ts'
import { closeFile, codeOf, type FileSystem, findFile, type Opened } from './find-file.ts'
import { asUpstreamError } from '../upstream-failure.ts'
import { inTime } from '../in-time.ts'

export type FolderOptions = {
  /** Absolute. */
  readonly path: string
  /** How long a file may take to open, and each piece of it to be read. */
  readonly openMs: number
  readonly readMs: number
}

/** A folder that may be on a file system of others: not mounted, failing, or never answering. */
export type MountedFolder = {
  /**
   * The file at a path below it, given part by part. `null` where a binary cache is there, and certainly no such file in it; what leads
   * outside or is no regular file is `url-refused`.
   */
  open(path: readonly string[], signal: AbortSignal): Promise<UpstreamBody | null>
}

const pieceBytes = 256 * 1024

/** So many of Node's few threads for files may hang in a dead mount. */
const maxCalls = 2

/** Reads through `files`, the real ones unless told. */
export function createMountedFolder(
  { path: folder, openMs, readMs }: FolderOptions,
  files: FileSystem = nodeFiles,
): MountedFolder {
  const queue = createFairQueue({ places: maxCalls })
  /** A call that may never end; what it gives too late goes to `tooLate`. */
  const call = async <T>(
    act: () => Promise<T>,
    { signal, ms }: { readonly signal: AbortSignal; readonly ms: number },
    tooLate: (value: T) => void = () => undefined,
  ): Promise<T> => {
    const all = AbortSignal.any([signal, AbortSignal.timeout(ms)])
    // Whoever gives up leaves the queue: in a dead mount no turn ever comes.
    const pending = queue.run(
      { client: '', group: null },
      () => {
        all.throwIfAborted()
        return act()
      },
      () => all,
    )
    try {
      return await inTime(pending, all, tooLate)
    } catch (error) {
      throw all.aborted ? asUpstreamError(error, all) : asFileError(error)
    }
  }
  return {
    async open(path, signal) {
      const opened = await call(
        () => findFile(files, folder, path),
        { signal, ms: openMs },
        discard,
      )
      if (opened === null) return null
      const read = (buffer: Buffer, at: number) =>
        call(() => opened.handle.read(buffer, 0, buffer.length, at), { signal, ms: readMs })
      // A body that is given up before it is read is closed all the same.
      const abandoned = (): void => {
        closeFile(opened.handle)
      }
      signal.addEventListener('abort', abandoned, { once: true })
      return bodyOf(opened.size, read, () => {
        signal.removeEventListener('abort', abandoned)
        closeFile(opened.handle)
      })
    },
  }
}

function discard(opened: Opened | null): void {
  if (opened !== null) closeFile(opened.handle)
}

async function* bodyOf(
  size: number,
  read: (buffer: Buffer, at: number) => Promise<{ readonly bytesRead: number }>,
  ended: () => void,
): AsyncGenerator<Uint8Array> {
  try {
    for (let at = 0; at < size;) {
      const buffer = Buffer.allocUnsafeSlow(Math.min(pieceBytes, size - at))
      const { bytesRead } = await read(buffer, at)
      if (bytesRead === 0) throw new UpstreamError('reset', 'the file became shorter')
      at += bytesRead
      yield buffer.subarray(0, bytesRead)
    }
  } finally {
    ended()
  }
}

function asFileError(error: unknown): unknown {
  const code = codeOf(error)
  if (error instanceof UpstreamError || code === null) return error
  return new UpstreamError('connect', `a file could not be read: ${code}`, { cause: error })
}
