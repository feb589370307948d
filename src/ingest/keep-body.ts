import type { Compression } from '../nix/compression.ts'
import { BadNarError } from './bad-nar-error.ts'
import { readNar, wholeFrames } from './decode-nar.ts'
import type { NarVerifier } from './nar-verifier.ts'
import type { NarSink } from './nar-sink.ts'

type Body = AsyncIterable<Uint8Array>

/** Where a file goes that is kept as it comes; `release` is told how much of it may be handed out. */
export type KeptFile = {
  readonly file: NarSink
  readonly release: (bytes: number) => void
}

/** What may follow the end of a NAR in its file: an empty frame, a skippable one, an index. */
const maxTrailingBytes = 64 * 1024

/**
 * Keeps a file as it comes, and decodes it beside to verify it. A chunk is released when the next one has come and the NAR in it was as
 * promised so far: the last one never, before the check.
 */
export async function keepVerified(
  { file, release }: KeptFile,
  body: Body,
  compression: Compression,
  verifier: NarVerifier,
): Promise<void> {
  let completeAt: number | null = null
  async function* written(): AsyncGenerator<Uint8Array> {
    // A zstd file is cut at its frames: what follows the NAR is seen as soon as it comes.
    for await (const chunk of compression === 'zstd' ? wholeFrames(body) : body) {
      if (completeAt === null && verifier.isFull) {
        verifier.check()
        completeAt = file.bytes
      }
      release(file.bytes)
      await file.ready()
      file.append(chunk)
      if (completeAt !== null && file.bytes - completeAt > maxTrailingBytes) {
        throw new BadNarError('undecodable', 'the file goes on after the NAR')
      }
      yield chunk
    }
  }
  await readNar(compression, written(), verifier.narSize, (piece) => {
    verifier.update(piece)
  })
  verifier.check()
}

/**
 * Keeps a file as it comes, held against nothing but its FileHash (`sha256:nix32`), which nobody signs: whether it has the promised NAR
 * is looked at later. The last chunk is released by whoever asked for the file, when this returns.
 */
export async function keepCopied(
  { file, release }: KeptFile,
  body: Body,
  fileHash: string,
): Promise<void> {
  for await (const chunk of body) {
    release(file.bytes)
    await file.ready()
    file.append(chunk)
  }
  if (file.hash() !== fileHash) {
    throw new BadNarError('file-hash-mismatch', 'the file is not the one that FileHash promises')
  }
}
