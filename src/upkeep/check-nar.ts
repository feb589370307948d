import { createHash } from 'node:crypto'
import { parseContentAddress } from '../nix/content-address.ts'
import { formatHash } from '../nix/hash.ts'
import { type Narinfo, parseNarinfo } from '../nix/narinfo.ts'
import type { StoreDir } from '../nix/store-path.ts'
import type { StoredNar } from '../ports/catalog.ts'
import type { VerifyFinding } from '../ports/meter.ts'
import type { NarFile, NarStore } from '../ports/nar-store.ts'
import type { VerifyStored } from '../substituter/fetching/adopt-nar.ts'
import type { Pace } from './pace.ts'

/** What a stored NAR turned out to be. */
export type NarFinding = 'sound' | VerifyFinding

export type CheckDeps = {
  readonly store: Pick<NarStore, 'open'>
  readonly verifyStored: VerifyStored
  readonly storeDir: StoreDir
}

const pieceBytes = 256 * 1024

/**
 * Holds a stored file against its record, byte by byte. Throws where it cannot be read for another reason than its disk: that of one file
 * says nothing of the others.
 */
export async function checkNar(
  deps: CheckDeps,
  stored: StoredNar,
  pace: Pace,
  signal: AbortSignal,
): Promise<NarFinding> {
  try {
    return await checkReadable(deps, stored, pace, signal)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EIO') return 'unreadable-file'
    throw error
  }
}

async function checkReadable(
  { store, verifyStored, storeDir }: CheckDeps,
  stored: StoredNar,
  pace: Pace,
  signal: AbortSignal,
): Promise<NarFinding> {
  const narinfo = promiseOf(stored, storeDir)
  if (narinfo === null) return 'unreadable-claim'
  const file = await store.open(stored.key)
  if (file === null) return 'no-file'
  try {
    if ((await file.size()) !== stored.fileBytes) return 'wrong-size'
    if ((await hashOf(file, pace, signal)) !== stored.fileHash) return 'file-hash-mismatch'
    return (await verifyStored(file, stored.key.compression, narinfo)) ? 'sound' : 'nar-mismatch'
  } finally {
    await file.close()
  }
}

/** What the file was held against when it was stored: its claim, with the content address that counted then. */
function promiseOf({ claim, verifiedCa }: StoredNar, storeDir: StoreDir): Narinfo | null {
  const parsed = parseNarinfo(claim, storeDir)
  if (parsed.kind === 'malformed') return null
  const ca = verifiedCa === null ? null : parseContentAddress(verifiedCa)
  return { ...parsed.narinfo, ca }
}

/** Reading at the pace comes first: what is decoded then is in memory. */
async function hashOf(file: NarFile, pace: Pace, signal: AbortSignal): Promise<string> {
  const digest = createHash('sha256')
  const buffer = Buffer.allocUnsafe(pieceBytes)
  for (let at = 0; ;) {
    signal.throwIfAborted()
    const read = await file.read(buffer, at)
    if (read === 0) return formatHash({ algorithm: 'sha256', bytes: digest.digest() })
    digest.update(buffer.subarray(0, read))
    at += read
    await pace(read, signal)
  }
}
