import { formatContentAddress } from '../../nix/content-address.ts'
import { type NarFileKey, narFileName } from '../../nix/nar-key.ts'
import type { Clock } from '../../ports/clock.ts'
import { type NarIngest, noDemand, type SourceFailure } from '../../ports/nar-ingest.ts'
import type { NarStore } from '../../ports/nar-store.ts'
import type { TrustedAnswers } from '../finding/claims-for.ts'
import { type KeepDeps, keepNar } from './keep-nar.ts'
import type { NarEncoding } from '../finding/named-file.ts'
import { createReleases } from './releases.ts'
import { type Destination, type IngestedNar, ingestInto } from './destination.ts'
import type { StoredAnswer } from '../finding/stored-answers.ts'
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

/** A file that is stored, and what it is trusted under. */
export type StoredSource = TrustedAnswers & {
  readonly answer: StoredAnswer
  /** The same as the policy of the call has it; `null` where it is trusted no more. */
  readonly now: () => StoredAnswer | null
}

/** A representation to make of a NAR that is stored in another one. */
export type Conversion = {
  readonly key: NarFileKey
  readonly from: StoredSource
  readonly transfer: Transfer
  readonly destination: Destination
  readonly signal: AbortSignal
}

/**
 * Makes another representation of a stored NAR: for a client that has a URL of the other `[nar] encoding`. A stored file that is gone or
 * damaged is forgotten.
 */
export async function convertStored(deps: ConvertDeps, conversion: Conversion): Promise<void> {
  const { key, from, transfer, destination, signal } = conversion
  const failures: SourceFailure[] = []
  const outcome = await encode(deps, conversion, failures)
  if (outcome.kind !== 'verified') {
    await giveUp(deps, conversion, failures)
    return
  }
  signal.throwIfAborted()
  transfer.complete(outcome)
  if (destination.kind === 'reader') return
  const found = from.now()
  if (key.compression !== 'zstd' || found === null) return
  const { fileBytes, fileHash, etag } = outcome
  const nowMs = deps.clock.nowMs()
  const { stored, answer, maySign } = found
  await keepNar(deps, {
    ...{ staged: destination.staged, verdict: answer.verdict, maySign },
    stored: { ...stored, key, fileBytes, fileHash, etag, storedAtMs: nowMs, usedAtMs: nowMs },
    isTrusted: () => from.now() !== null,
  })
}

async function giveUp(
  deps: ConvertDeps,
  { key, from: { answer }, transfer }: Conversion,
  failures: readonly SourceFailure[],
): Promise<void> {
  const isDamaged = failures.some(({ kind }) => kind === 'corrupt')
  const isGone = failures.some(({ code }) => code === 'absent')
  const isNotMade = failures.some(({ code }) => code === 'not-made')
  if (isDamaged) {
    if (transfer.released > 0) deps.suspects.noteBroken(key)
    deps.log.error({ event: 'nar.damaged', nar: narFileName(answer.stored.key), failures })
  }
  if (isDamaged || isGone) await deps.keeper.drop(answer.stored)
  transfer.fail({ kind: isNotMade ? 'absent' : 'unknown', failures })
}

async function encode(
  deps: ConvertDeps,
  conversion: Conversion,
  failures: SourceFailure[],
): Promise<IngestedNar> {
  const { key, destination, signal } = conversion
  const { stored, answer } = conversion.from.answer
  const { narinfo } = answer.verdict
  const { verifyFirstBytes, zstdLevel } = deps.nar()
  const narSize = Number(narinfo.narSize)
  const { upstream } = stored
  const { compression } = stored.key
  const file = deps.store.pathOf(stored.key)
  const releases = createReleases(deps, conversion)
  const outcome = await ingestInto(
    { ingest: deps.ingest, key, destination, demand: noDemand, verifyFirstBytes },
    {
      narSize,
      expectedBytes: narSize,
      ca: narinfo.ca === null ? null : formatContentAddress(narinfo.ca),
      sources: [{ upstream, url: '', file, compression, fileHash: null }],
      mayCopy: false,
      zstdLevel,
    },
    {
      released: (bytes, etag) => {
        releases.release(bytes, etag)
      },
      fetched: () => undefined,
      sourceAnswered: () => undefined,
      sourceFailed: (failure) => failures.push(failure),
    },
    signal,
  )
  await releases.settled()
  return outcome
}
