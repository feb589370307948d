/** Takes what a source gives, or goes on with it where an earlier one broke off. */
import { parseHash } from '../nix/hash.ts'
import { UpstreamError } from '../ports/upstream.ts'
import { BadNarError } from './bad-nar-error.ts'
import type { KeepingFile } from './keeping-file.ts'
import type { NarSink } from './nar-sink.ts'
import { Prefix } from './prefix.ts'
import type { Recoding } from './recoding.ts'

/** What is said of a file whose NAR has come, and whose end was not waited for: that may have been all that was missing. */
export function withoutEnd(error: unknown): unknown {
  if (!isUndecodable(error)) return error
  return new UpstreamError('timeout', 'the end of the file does not come', { cause: error })
}

function isUndecodable(error: unknown): boolean {
  return error instanceof BadNarError && error.code === 'undecodable'
}

/** Goes on with a NAR from one that is decoded from its start; `left` says that its file's end was not waited for, since the NAR had come. */
export async function recode(
  recoding: Recoding,
  nar: AsyncIterable<Uint8Array>,
  left: AbortSignal,
): Promise<void> {
  const { verifier } = recoding
  const prefix = verifier.bytes === 0 ? null : new Prefix(verifier.bytes, verifier.prefixHash())
  try {
    for await (const piece of nar) {
      const rest = prefix === null ? piece : prefix.skip(piece)
      if (rest.length > 0) await recoding.feed(rest)
    }
  } catch (error) {
    if (!left.aborted || !isUndecodable(error)) throw error
  }
  await recoding.finish()
}

/** Goes on with a file from one that is read from its start. */
export async function keepFrom(
  keeping: KeepingFile,
  file: NarSink,
  body: AsyncIterable<Uint8Array>,
): Promise<void> {
  const written = parseHash(file.hash())
  const prefix = file.bytes === 0 || written === null ? null : new Prefix(file.bytes, written.bytes)
  for await (const chunk of body) {
    const rest = prefix === null ? chunk : prefix.skip(chunk)
    if (rest.length > 0) await keeping.feed(rest)
  }
  await keeping.finish()
}
