/** A whole substituter between upstreams in memory and a store in a folder, and claims for it to judge. */
import { verifyStored } from '../../src/ingest/verify-stored.ts'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { fingerprint } from '../../src/nix/fingerprint.ts'
import { formatNarinfo } from '../../src/nix/format-narinfo.ts'
import { parseHash } from '../../src/nix/hash.ts'
import type { NarKey } from '../../src/nix/nar-key.ts'
import type { Narinfo } from '../../src/nix/narinfo.ts'
import { generateSecretKey, publicKeyOf, type SecretKey, sign } from '../../src/nix/signature.ts'
import type { Policy, PolicyUpstream } from '../../src/policy/policy.ts'
import type { Catalog } from '../../src/ports/catalog.ts'
import type { Meter } from '../../src/ports/meter.ts'
import type { NarIngest } from '../../src/ports/nar-ingest.ts'
import type { NarStore } from '../../src/ports/nar-store.ts'
import { openDiskNarStore } from '../../src/store/disk/disk-nar-store.ts'
import { openSqliteCatalog } from '../../src/store/sqlite/sqlite-catalog.ts'
import { createPathFinder } from '../../src/substituter/find-path.ts'
import type { NarBody } from '../../src/substituter/nar-body.ts'
import { narKeyOf, type SigningMode } from '../../src/substituter/render-narinfo.ts'
import { createStoreKeeper, type StoreKeeper } from '../../src/substituter/store-keeper.ts'
import { createSubstituter, type Substituter } from '../../src/substituter/substituter.ts'
import { createTransfers } from '../../src/substituter/transfers.ts'
import { must, path, storeDir } from '../nix/fixtures.ts'
import { bodyOf } from './encode-nar.ts'
import { countingStore } from './counting-store.ts'
import { createFakeUpstream, type FakeUpstream } from './fake-upstream.ts'
import { createFixedClock, type FixedClock } from './fixed-clock.ts'
import { sha256 } from './ingest-run.ts'
import { createInlineIngest } from './fake-nar-ingest.ts'
import { createNullMeter } from './null-meter.ts'
import { createSilentLog } from './silent-log.ts'

export const keys = {
  a: generateSecretKey('a.test-1'),
  b: generateSecretKey('b.test-1'),
  stranger: generateSecretKey('stranger.test-1'),
  weir: generateSecretKey('weir.test-1'),
}

/** A claim as an upstream sends it. */
export type TestClaim = {
  readonly narinfo: Narinfo
  readonly key: NarKey
  readonly text: Uint8Array
  readonly nar: Uint8Array
}

/** A claim for a NAR, signed by `a` where nothing else is said; the file is the NAR itself. */
export function claimFor(
  nar: Uint8Array,
  changes: Partial<Narinfo> & { readonly signers?: readonly SecretKey[] } = {},
): TestClaim {
  const { signers = [keys.a], ...fields } = changes
  const unsigned: Narinfo = {
    storePath: path('00000000000000000000000000000000-hello'),
    url: 'nar/hello.nar',
    compression: 'none',
    fileHash: null,
    fileSize: null,
    narHash: must(parseHash(sha256(nar))),
    narSize: BigInt(nar.length),
    references: [],
    deriver: null,
    signatures: [],
    malformedSignatures: [],
    ca: null,
    unknownFields: [],
    ...fields,
  }
  const message = fingerprint(unsigned, storeDir)
  const narinfo = { ...unsigned, signatures: signers.map((key) => sign(key, message)) }
  const text = Buffer.from(formatNarinfo(narinfo, storeDir))
  return { narinfo, key: narKeyOf(narinfo), text, nar }
}

/** An upstream that has these claims and their files. */
export function upstreamWith(name: string, ...claims: readonly TestClaim[]): FakeUpstream {
  return createFakeUpstream(name, {
    narinfo: (hash) => claims.find(({ key }) => key.storePathHash === hash)?.text ?? null,
    nar: (url) => {
      const claim = claims.find(({ narinfo }) => narinfo.url === url)
      return claim === undefined ? null : bodyOf(claim.nar)
    },
  })
}

export type WorldOptions = {
  readonly dir: string
  readonly upstreams: readonly FakeUpstream[]
  /** Where nothing is said of an upstream, the key of its name vouches, and it is not optional. */
  readonly policy?: Readonly<Record<string, Partial<PolicyUpstream>>>
  readonly maxNarBytes?: number
  readonly catalog?: Catalog
  readonly ingest?: NarIngest
  readonly clock?: FixedClock
  readonly mode?: SigningMode
  readonly maxBytes?: number
  readonly verifyFirstBytes?: number
  readonly maxTransfers?: number
  readonly meter?: Partial<Meter>
  readonly store?: (store: NarStore) => NarStore
}

export type World = Awaited<ReturnType<typeof createWorld>>

/** Puts it together; the same folder and catalog again are a restart. */
export async function createWorld(options: WorldOptions) {
  const { dir, upstreams, mode = 'add' } = options
  const clock = options.clock ?? createFixedClock()
  const log = createSilentLog()
  const meter = createNullMeter(options.meter)
  const base = { clock, log, meter }
  const catalog = options.catalog ?? openSqliteCatalog(':memory:')
  const disk = await openDiskNarStore(join(dir, 'cache'), storeDir)
  const store = countingStore(options.store?.(disk) ?? disk)
  const policy: Policy = {
    storeDir,
    upstreams: upstreams.map(({ name }) => ({
      name,
      keys: name === 'a' || name === 'b' ? [publicKeyOf(keys[name])] : [],
      optional: false,
      ...options.policy?.[name],
    })),
    maxNarBytes: options.maxNarBytes ?? 2 ** 40,
  }
  const stopping = new AbortController()
  const signing = { mode, key: keys.weir }
  const keeper: StoreKeeper = await createStoreKeeper({
    ...base,
    store,
    catalog,
    maxBytes: options.maxBytes ?? 2 ** 40,
    changed: (key) => {
      substituter.changed(key)
    },
  })
  const finder = createPathFinder({
    ...base,
    policy,
    upstreams,
    catalog,
    narinfoTimeoutMs: 60_000,
    stopping: stopping.signal,
  })
  const transfers = createTransfers({
    ...base,
    storeDir,
    signing,
    store,
    keeper,
    ingest: options.ingest ?? createInlineIngest(upstreams),
    verifyFirstBytes: options.verifyFirstBytes ?? 2 ** 24,
    zstdLevel: 1,
    maxTransfers: options.maxTransfers ?? 24,
    stopping: stopping.signal,
  })
  const substituter: Substituter = createSubstituter({
    storeDir,
    signing,
    finder,
    transfers,
    store,
    keeper,
    clock,
    verifyStored,
  })
  return { ...base, dir, catalog, store, keeper, finder, transfers, substituter, policy, stopping }
}

const never = new AbortController().signal

/** The answer to a whole GET of a NAR. */
export function getNar({ substituter }: Pick<World, 'substituter'>, key: NarKey) {
  return substituter.nar(key, { isResume: false }, never)
}

/** The answer to a resume of a NAR. */
export function resumeNar({ substituter }: Pick<World, 'substituter'>, key: NarKey) {
  return substituter.nar(key, { isResume: true }, never)
}

/** Reads a body from a position to its end, in reads of a size. */
export async function readBody(body: NarBody, readBytes = 65_536, from = 0): Promise<Buffer> {
  const parts: Buffer[] = []
  for (let position = from; ;) {
    const buffer = Buffer.alloc(readBytes)
    const read = await body.read(buffer, position, never)
    if (read === 0) return Buffer.concat(parts)
    parts.push(buffer.subarray(0, read))
    position += read
  }
}

/** The file of a NAR as a client gets it; throws where there is none. */
export async function fetchNar(world: Pick<World, 'substituter'>, key: NarKey): Promise<Buffer> {
  const answer = await getNar(world, key)
  if (answer.kind !== 'found') throw new Error(`the NAR is ${answer.kind}`)
  await using body = answer.body
  return await readBody(body)
}

/** The narinfo's text; throws where there is none. */
export async function fetchNarinfo({ substituter }: World, { key }: TestClaim): Promise<string> {
  const answer = await substituter.narinfo(key.storePathHash)
  if (answer.kind !== 'found') throw new Error(`the narinfo is ${answer.kind}`)
  return answer.body.toString()
}

/** Whether a promise has settled by the time that nothing is left to be done without something new. */
export async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false
  const note = (): void => {
    settled = true
  }
  promise.then(note, note)
  for (let turn = 0; turn < 10; turn += 1) await setImmediate()
  return settled
}
