import { setImmediate } from 'node:timers/promises'
import type { NarFileKey } from '../nix/nar-key.ts'
import { encodeBase64 } from '../nix/base64.ts'
import type { PublicKey } from '../nix/signature.ts'
import { parseBaseName, parseStorePathHash } from '../nix/store-path.ts'
import { type Block, type Blocked, blockOf, blockOfName } from '../policy/block.ts'
import { readClaim } from '../policy/claim.ts'
import type { Policy } from '../policy/policy.ts'
import type { Catalog, StoredNar } from '../ports/catalog.ts'
import type { Evidence, ServedQuery, ServedRecord } from '../ports/evidence.ts'
import type { Log } from '../ports/log.ts'
import { judgeStored } from '../substituter/finding/stored-answers.ts'
import type { StoreKeeper } from '../keeper/store-keeper.ts'
import { describeBlocked } from './describe-blocked.ts'
import type { LivePolicy } from './live-policy.ts'

export type RecallDeps = {
  readonly policy: LivePolicy
  /** The blocks that Weir manages; `add` holds at once, and is durable when it resolves. */
  readonly recalls: {
    add(block: Block): Promise<boolean>
  }
  readonly catalog: Catalog
  readonly keeper: Pick<StoreKeeper, 'drop'>
  readonly evidence: Evidence
  readonly log: Log
}

/** What a recall did. */
export type RecallReport = {
  /** False where the same was recalled already. */
  readonly isNew: boolean
  readonly purgedNars: number
  readonly purgedBytes: number
  /** Who got it, and when, the latest first. */
  readonly served: readonly ServedRecord[]
}

const maxServed = 1_000_000
const pageSize = 500

/** Recalls: from this moment nobody gets it; then what is stored of it is removed, and who got it is looked up. */
export async function recall(deps: RecallDeps, block: Block): Promise<RecallReport> {
  const added = deps.recalls.add(block)
  deps.policy.refresh()
  const isNew = await added
  const detail = `${describeBlocked(block.blocked)}: ${block.reason}`
  deps.evidence.happened({ kind: 'recall', hash: hashOf(block.blocked), upstream: null, detail })
  const { purgedNars, purgedBytes } = await purge(deps, block)
  const served = await servedUnder(deps.evidence, block)
  deps.log.warn({ event: 'recall', recalled: detail, purgedNars, clients: clientsOf(served) })
  return { isNew, purgedNars, purgedBytes, served }
}

/** Who got what a block is of, the latest first. */
export async function servedUnder(
  evidence: Evidence,
  block: Block,
): Promise<readonly ServedRecord[]> {
  const records = await evidence.findServed(queryOf(block.blocked), maxServed)
  if (block.blocked.kind !== 'package') return records
  return records.filter(({ path }) => {
    const name = parseBaseName(path)?.name
    return name !== undefined && blockOfName([block], name) !== null
  })
}

async function purge(
  { policy, catalog, keeper }: RecallDeps,
  block: Block,
): Promise<{ readonly purgedNars: number; readonly purgedBytes: number }> {
  let purgedNars = 0
  let purgedBytes = 0
  let after: NarFileKey | null = null
  for (;;) {
    const page: readonly StoredNar[] = await catalog.page(after, pageSize)
    for (const stored of page) {
      if (!isRecalled(policy.current(), [block], stored)) continue
      await keeper.drop(stored)
      purgedNars += 1
      purgedBytes += stored.fileBytes
    }
    const last = page.at(-1)
    if (last === undefined || page.length < pageSize) return { purgedNars, purgedBytes }
    after = last.key
    // Requests go first.
    await setImmediate()
  }
}

/** Whether a stored NAR falls under one of these blocks: by what its claim says, or because nobody but a blocked key vouches for it. */
export function isRecalled(policy: Policy, blocks: readonly Block[], stored: StoredNar): boolean {
  if (blocks.length === 0) return false
  const reading = readClaim(policy, stored.upstream, stored.key.storePathHash, stored.claim)
  if (reading.kind === 'malformed') return false
  const { narinfo } = reading.claim
  if (blockOf(blocks, narinfo) !== null) return true
  const signers = narinfo.signatures.map(({ keyName }) => keyName)
  const isSigned = blocks.some(({ blocked }) => {
    if (blocked.kind !== 'key') return false
    const names = namesOf(policy, blocked.key)
    return signers.some((name) => names.has(name))
  })
  return isSigned && judgeStored(policy, [stored], null).length === 0
}

/** The names under which a key is known: its bytes are what counts. */
function namesOf(policy: Policy, { name, bytes }: PublicKey): ReadonlySet<string> {
  const held = policy.upstreams.flatMap(({ keys }) => keys)
  const same = held.filter((key) => Buffer.compare(key.bytes, bytes) === 0)
  return new Set([name, ...same.map((key) => key.name)])
}

function queryOf(blocked: Blocked): ServedQuery {
  switch (blocked.kind) {
    case 'path':
      return { path: blocked.baseName }
    case 'hash': {
      const hash = parseStorePathHash(blocked.hash)
      return hash === null ? { path: '' } : { hash }
    }
    case 'package':
      return { package: blocked.package }
    case 'key':
      return { keyBytes: encodeBase64(blocked.key.bytes) }
    case 'nar-hash':
      return { narHash: blocked.narHash.slice(blocked.narHash.indexOf(':') + 1) }
  }
}

function hashOf(blocked: Blocked) {
  switch (blocked.kind) {
    case 'path':
      return parseBaseName(blocked.baseName)?.hash ?? null
    case 'hash':
      return parseStorePathHash(blocked.hash)
    case 'package':
    case 'key':
    case 'nar-hash':
      return null
  }
}

function clientsOf(served: readonly ServedRecord[]): number {
  return new Set(served.map(({ client }) => client)).size
}
