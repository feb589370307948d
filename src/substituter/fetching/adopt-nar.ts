import { createHash } from 'node:crypto'
import type { DecodableCompression } from '../../nix/compression.ts'
import { formatHash } from '../../nix/hash.ts'
import type { Narinfo } from '../../nix/narinfo.ts'
import { isSameFile, type NarFileKey, narFileName } from '../../nix/nar-key.ts'
import type { TrustedAnswer } from '../../policy/answer.ts'
import type { Policy } from '../../policy/policy.ts'
import type { Clock } from '../../ports/clock.ts'
import type { StoredNar } from '../../ports/catalog.ts'
import type { Log } from '../../ports/log.ts'
import type { NarFile, NarStore } from '../../ports/nar-store.ts'
import type { PathFinder } from '../finding/find-path.ts'
import type { Inquiry } from '../finding/inquiry.ts'
import type { StoreKeeper } from '../../keeper/store-keeper.ts'
import { promisedCa, storedRecord } from '../finding/stored-record.ts'

const readBytes = 256 * 1024

/** Whether a stored file is whole and holds exactly the NAR that the claim promises, its CA included. */
export type VerifyStored = (
  file: NarFile,
  compression: DecodableCompression,
  narinfo: Narinfo,
) => Promise<boolean>

type AdoptDeps = {
  readonly store: NarStore
  readonly finder: Pick<PathFinder, 'records'>
  readonly keeper: StoreKeeper
  readonly clock: Clock
  readonly verifyStored: VerifyStored
  readonly policy: () => Policy
  readonly log: Log
}

/**
 * Records a NAR that is in the store without a record, because the catalog was lost. Its name says little of what became
 * of the file since: it is held against a trusted claim first, and removed where it is wrong. False where there is none.
 */
export async function adoptNar(
  deps: AdoptDeps,
  key: NarFileKey,
  answer: TrustedAnswer,
  inquiry: Inquiry,
): Promise<boolean> {
  const before = await recordOf(deps, key)
  const file = await deps.store.open(key)
  if (file === null) return false
  const isTrusted = (): boolean => inquiry.trusted().some(({ claim }) => claim === answer.claim)
  try {
    if (!(await deps.verifyStored(file, key.compression, answer.verdict.narinfo))) {
      await removeWrong(deps, key, before)
      return false
    }
    const { fileHash, fileBytes } = await hashFile(file)
    const etag = `"${fileHash.slice(fileHash.indexOf(':') + 1)}"`
    // A policy that changed while the file was read is a recall, perhaps, which has looked for records already.
    if (!isTrusted()) return false
    const verified = { fileBytes, fileHash, etag, verifiedCa: promisedCa(answer) }
    const at = { policy: deps.policy(), nowMs: deps.clock.nowMs() }
    await deps.keeper.adopt(storedRecord(key, answer, inquiry, verified, at))
    if (isTrusted()) return true
    // It changed while the record was written.
    await deps.keeper.drop({ key })
    return false
  } catch (error) {
    // On a full disk, say: then it is fetched as if it were not there.
    deps.log.error({ event: 'adoption.failed', nar: narFileName(key), err: error })
    return false
  } finally {
    await file.close()
  }
}

async function recordOf(
  { finder }: Pick<AdoptDeps, 'finder'>,
  key: NarFileKey,
): Promise<StoredNar | undefined> {
  const records = await finder.records(key.storePathHash)
  return records.find((stored) => isSameFile(stored.key, key))
}

/** Removes a file that was read and is wrong, but none that took its place meanwhile: that one has another record. */
async function removeWrong(
  deps: AdoptDeps,
  key: NarFileKey,
  before: StoredNar | undefined,
): Promise<void> {
  if ((await recordOf(deps, key))?.storedAtMs !== before?.storedAtMs) return
  if (before !== undefined) {
    await deps.keeper.drop({ key })
    return
  }
  await deps.keeper.inTurn(key.storePathHash, async () => {
    if ((await recordOf(deps, key)) === undefined) await deps.store.remove(key)
  })
}

async function hashFile(
  file: NarFile,
): Promise<{ readonly fileHash: string; readonly fileBytes: number }> {
  const digest = createHash('sha256')
  const buffer = Buffer.allocUnsafe(readBytes)
  let fileBytes = 0
  for (let read = await file.read(buffer, 0); read > 0; read = await file.read(buffer, fileBytes)) {
    digest.update(buffer.subarray(0, read))
    fileBytes += read
  }
  return { fileHash: formatHash({ algorithm: 'sha256', bytes: digest.digest() }), fileBytes }
}
