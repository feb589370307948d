import { formatContentAddress } from '../nix/content-address.ts'
import { isSameNar, type NarFileKey, narFileName } from '../nix/nar-key.ts'
import type { TrustedAnswer } from '../policy/answer.ts'
import type { Clock } from '../ports/clock.ts'
import type { NarIngest, SourceFailure } from '../ports/nar-ingest.ts'
import type { NarStore } from '../ports/nar-store.ts'
import { type Destination, ingestInto } from './destination.ts'
import { type KeepDeps, keepNar } from './keep-nar.ts'
import type { NarEncoding } from './named-file.ts'
import { narKeyOf } from './render-narinfo.ts'
import type { StoredAnswer } from './stored-answers.ts'
import type { Suspects } from './suspects.ts'
import type { Transfer } from './transfer.ts'

/** How NARs are fetched, checked and kept. */
export type NarOptions = {
  readonly encoding: NarEncoding
  readonly verifyFirstBytes: number
  readonly zstdLevel: number
}

export type ConvertDeps = KeepDeps & {
  readonly store: NarStore
  readonly ingest: NarIngest
  readonly clock: Clock
  readonly nar: () => NarOptions
  readonly suspects: Pick<Suspects, 'noteBroken'>
}

/** A representation to make of a NAR that is stored in another one. */
export type Conversion = {
  readonly key: NarFileKey
  readonly from: StoredAnswer
  /** The answers that are trusted now. */
  readonly trusted: () => readonly TrustedAnswer[]
  readonly transfer: Transfer
  readonly signal: AbortSignal
}

/** Makes another representation of a stored NAR: for a client that has a URL of the other `[nar] encoding`. */
export async function convertStored(
  deps: ConvertDeps,
  conversion: Conversion,
  destination: Destination,
): Promise<void> {
  const { key, from, transfer, signal } = conversion
  const failures: SourceFailure[] = []
  const outcome = await encode(deps, conversion, destination, failures)
  if (outcome.kind !== 'verified') {
    const isDamaged = failures.some(({ kind }) => kind === 'corrupt')
    if (isDamaged) {
      if (transfer.released > 0) deps.suspects.noteBroken(key)
      deps.log.error({ event: 'nar.damaged', nar: narFileName(from.stored.key), failures })
      await deps.keeper.drop(from.stored)
    }
    const isNotMade = failures.some(({ code }) => code === 'not-made')
    transfer.fail({ kind: isNotMade ? 'absent' : 'unknown', failures })
    return
  }
  signal.throwIfAborted()
  transfer.complete(outcome)
  if (key.compression !== 'zstd' || destination.kind === 'reader') return
  const { fileBytes, fileHash, etag } = outcome
  const nowMs = deps.clock.nowMs()
  const { stored, answer, maySign } = from
  await keepNar(deps, {
    ...{ staged: destination.staged, verdict: answer.verdict, maySign },
    stored: { ...stored, key, fileBytes, fileHash, etag, storedAtMs: nowMs, usedAtMs: nowMs },
    isTrusted: () =>
      conversion.trusted().some(({ verdict }) => isSameNar(narKeyOf(verdict.narinfo), key)),
  })
}

function encode(
  deps: ConvertDeps,
  { key, from, transfer, signal }: Conversion,
  destination: Destination,
  failures: SourceFailure[],
) {
  const { narinfo } = from.answer.verdict
  const { verifyFirstBytes, zstdLevel } = deps.nar()
  const { upstream } = from.stored
  const { compression } = from.stored.key
  const file = deps.store.pathOf(from.stored.key)
  return ingestInto(
    { ingest: deps.ingest, key, destination, verifyFirstBytes },
    {
      narSize: Number(narinfo.narSize),
      ca: narinfo.ca === null ? null : formatContentAddress(narinfo.ca),
      sources: [{ upstream, url: '', file, compression, fileHash: null }],
      mayCopy: false,
      zstdLevel,
    },
    {
      released: (bytes, etag) => {
        if (destination.kind === 'store') destination.staged.reserve(bytes)
        transfer.release(bytes, etag)
      },
      fetched: () => undefined,
      sourceFailed: (failure) => failures.push(failure),
    },
    signal,
  )
}
