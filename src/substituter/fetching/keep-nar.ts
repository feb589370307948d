import { isSameFile, isSameNar, narFileName, narName } from '../../nix/nar-key.ts'
import type { StoreDir, StorePathHash } from '../../nix/store-path.ts'
import type { TrustedVerdict } from '../../policy/verdict.ts'
import type { MaySign } from '../../policy/views.ts'
import type { StoredNar, UnmeasuredNar } from '../../ports/catalog.ts'
import type { Log } from '../../ports/log.ts'
import type { OneByOne } from '../../keeper/one-by-one.ts'
import { renderNarinfo, type Signing, storedSigning } from '../finding/render-narinfo.ts'
import type { StagedRoom } from '../../keeper/staged-room.ts'
import type { StoreKeeper } from '../../keeper/store-keeper.ts'

export type KeepDeps = {
  readonly storeDir: StoreDir
  readonly signing: () => Signing
  readonly keeper: StoreKeeper
  /** Everything that is stored of a path. */
  readonly records: (hash: StorePathHash) => Promise<readonly StoredNar[]>
  readonly log: Log
  /** By the names of NARs. */
  readonly oneByOne: OneByOne
}

/** A verified NAR in a staged file, and what it is kept under. */
export type KeptNar = {
  readonly staged: StagedRoom
  readonly stored: UnmeasuredNar
  readonly verdict: TrustedVerdict
  readonly maySign: MaySign
  /** Whether it is still trusted under its claim. */
  readonly isTrusted: () => boolean
}

/**
 * Keeps a verified NAR, if its claim is still trusted when it is on disk. A NAR is kept in one representation: zstd takes the place of
 * any other one, and no other one takes a place that is taken by what was held against as much. Resolves to whether it was kept.
 */
export function keepNar(deps: KeepDeps, kept: KeptNar): Promise<boolean> {
  // Two that come in at once would each find the place free.
  return deps.oneByOne(narName(kept.stored.key), () => keepOne(deps, kept))
}

async function keepOne(deps: KeepDeps, kept: KeptNar): Promise<boolean> {
  const { staged, stored, verdict } = kept
  const { key, upstream, fileBytes, fileHash } = stored
  if (!deps.keeper.couldStay(key, fileBytes)) {
    deps.log.warn({ event: 'nar.too-large', nar: narFileName(key), bytes: fileBytes })
    return false
  }
  const others = (await deps.records(key.storePathHash)).filter(
    (other) => isSameNar(other.key, key) && !isSameFile(other.key, key),
  )
  const isTaken = others.some(
    ({ verifiedCa }) => stored.verifiedCa === null || verifiedCa === stored.verifiedCa,
  )
  if (isTaken && key.compression !== 'zstd') return false
  const signing = { ...storedSigning(deps.signing()), maySign: kept.maySign }
  const narinfo = renderNarinfo(verdict, deps.storeDir, signing, {
    compression: key.compression,
    file: { fileHash, fileBytes },
    isNarVerified: true,
  })
  await deps.keeper.keep(staged, stored, narinfo)
  if (!kept.isTrusted()) {
    // The policy changed while it was written: a recall may have looked for it already.
    await deps.keeper.drop(stored)
    return false
  }
  for (const other of others) await deps.keeper.drop(other)
  deps.log.info({ event: 'nar.stored', nar: narFileName(key), upstream, bytes: fileBytes })
  return true
}
