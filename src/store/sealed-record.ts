/**
 * A record of the catalog in the file of its narinfo, as the last line, so that the catalog can be made again from the files:
 *
 *   X-Weir-Record: 1 <base64 of the record> <base64 of its seal>
 *
 *   record = JSON: [upstream, claim, [[upstream, claim] …], verifiedCa, certainIn, fileBytes, fileHash, etag, storedAtMs]
 *   claim  = the narinfo's bytes, each as the character of that number
 *   seal   = HMAC-SHA256(key, "weir-record 1\n" file-name "\n" record)       file-name as in nar-key.ts
 *
 * Clients ignore keys that they do not know. The seal proves that whoever holds this Weir's signing key wrote the record, for a file of
 * this very name. It does not prove that the file is still whole, nor that the record is the latest: an older line of the same file is
 * as good. Its claims are judged by the policy of the moment like all others.
 */
import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto'
import { decodeBase64, encodeBase64 } from '../nix/base64.ts'
import { type NarFileKey, narFileName } from '../nix/nar-key.ts'
import { maxNarinfoBytes } from '../nix/narinfo.ts'
import type { StoredClaim, StoredNar } from '../ports/catalog.ts'

/** What a record says that its file does not: when it was used and what it takes on disk is the file's own to say. */
export type SealedRecord = Omit<StoredNar, 'usedAtMs' | 'diskBytes'>

const begin = 'X-Weir-Record: '
const linePattern = /^X-Weir-Record: 1 ([A-Za-z0-9+/=]+) ([A-Za-z0-9+/=]{44})$/

/** A narinfo with a record as its last line, in place of the one that it had; without one where it would become too long. */
export function withRecord(narinfo: string, stored: SealedRecord, key: KeyObject): string {
  const plain = withoutRecord(narinfo)
  const record = Buffer.from(recordText(stored))
  const seal = sealOf(stored.key, record, key)
  const sealed = `${plain}${begin}1 ${encodeBase64(record)} ${encodeBase64(seal)}\n`
  return Buffer.byteLength(sealed) > maxNarinfoBytes ? plain : sealed
}

/** A narinfo without such a line. */
export function withoutRecord(narinfo: string): string {
  return narinfo.replaceAll(/^X-Weir-Record: .*\n/gm, '')
}

/** The record that a narinfo has of a file; `null` where there is none that this key sealed for this file. */
export function openRecord(narinfo: string, file: NarFileKey, key: KeyObject): SealedRecord | null {
  const start = narinfo.lastIndexOf(`\n${begin}`) + 1
  if (start === 0 || !narinfo.endsWith('\n')) return null
  const [, text = '', sealText = ''] = linePattern.exec(narinfo.slice(start, -1)) ?? []
  const [record, seal] = [decodeBase64(text), decodeBase64(sealText)]
  if (record === null || seal?.length !== 32) return null
  if (!timingSafeEqual(seal, sealOf(file, record, key))) return null
  return parseRecord(Buffer.from(record).toString(), file)
}

function sealOf(file: NarFileKey, record: Uint8Array, key: KeyObject): Buffer {
  return createHmac('sha256', key)
    .update(`weir-record 1\n${narFileName(file)}\n`)
    .update(record)
    .digest()
}

type RecordTuple = readonly [
  upstream: string,
  claim: string,
  witnesses: readonly (readonly [upstream: string, claim: string])[],
  verifiedCa: string | null,
  certainIn: string | null,
  fileBytes: number,
  fileHash: string,
  etag: string,
  storedAtMs: number,
]

function recordText(stored: SealedRecord): string {
  const tuple: RecordTuple = [
    ...claimPair(stored),
    stored.witnesses.map(claimPair),
    ...([stored.verifiedCa, stored.certainIn] as const),
    ...([stored.fileBytes, stored.fileHash, stored.etag, stored.storedAtMs] as const),
  ]
  return JSON.stringify(tuple)
}

function claimPair({ upstream, claim }: StoredClaim): readonly [string, string] {
  return [upstream, Buffer.from(claim).toString('latin1')]
}

/* The seal says that Weir wrote it: its shape is the one above. */
function parseRecord(text: string, key: NarFileKey): SealedRecord {
  const tuple = JSON.parse(text) as RecordTuple
  const [upstream, claim, witnesses, verifiedCa, certainIn, fileBytes, fileHash, etag, storedAtMs] =
    tuple
  return {
    ...storedClaim([upstream, claim]),
    key,
    witnesses: witnesses.map(storedClaim),
    ...{ verifiedCa, certainIn, fileBytes, fileHash, etag, storedAtMs },
  }
}

/* In memory of its own: a view of Node's pool would keep and carry along the whole of it. */
function storedClaim([upstream, text]: readonly [string, string]): StoredClaim {
  const claim = new Uint8Array(text.length)
  Buffer.from(claim.buffer).write(text, 'latin1')
  return { upstream, claim }
}
