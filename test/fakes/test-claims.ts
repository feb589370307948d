/** Claims as upstreams send them, and the upstreams that have them. */
import { createHash } from 'node:crypto'
import { storePathOfContentAddress } from '../../src/nix/content-address.ts'
import { fingerprint } from '../../src/nix/fingerprint.ts'
import { formatNarinfo } from '../../src/nix/format-narinfo.ts'
import { parseHash } from '../../src/nix/hash.ts'
import type { NarFileKey } from '../../src/nix/nar-key.ts'
import type { Narinfo } from '../../src/nix/narinfo.ts'
import { generateSecretKey, type SecretKey, sign } from '../../src/nix/signature.ts'
import { UpstreamError } from '../../src/ports/upstream.ts'
import { narKeyOf } from '../../src/substituter/finding/render-narinfo.ts'
import { must, path, storeDir } from '../nix/fixtures.ts'
import { writeNar } from '../nix/tree.ts'
import { bodyOf, randomBytes } from './encode-nar.ts'
import { createFakeUpstream, type FakeUpstream } from './fake-upstream.ts'
import { sha256 } from './ingest-run.ts'

export const keys = {
  a: generateSecretKey('a.test-1'),
  b: generateSecretKey('b.test-1'),
  stranger: generateSecretKey('stranger.test-1'),
  weir: generateSecretKey('weir.test-1'),
}

/** A claim as an upstream sends it. */
export type TestClaim = {
  readonly narinfo: Narinfo
  readonly key: NarFileKey
  readonly text: Uint8Array
  readonly nar: Uint8Array
}

export type ClaimChanges = Partial<Narinfo> & { readonly signers?: readonly SecretKey[] }

/** A claim for a NAR, signed by `a` where nothing else is said; the file is the NAR itself. */
export function claimFor(nar: Uint8Array, changes: ClaimChanges = {}): TestClaim {
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
  return { narinfo, key: { ...narKeyOf(narinfo), compression: 'zstd' }, text, nar }
}

/** The claims of another path, numbered. */
export function numbered(number: number, changes: ClaimChanges = {}): TestClaim {
  const name = `${'0'.repeat(30)}${String(number).padStart(2, '0')}-p${number}`
  const fields = { storePath: path(name), url: `nar/${number}.nar`, ...changes }
  return claimFor(randomBytes(1000, number), fields)
}

/** The flat content-addressed path of a file, without a signature where nobody is said to sign. */
export function contentAddressed(changes: ClaimChanges = {}): TestClaim {
  const contents = Buffer.from('hello')
  const nar = writeNar({ type: 'regular', executable: false, contents })
  const digest = createHash('sha256').update(contents).digest()
  const ca = { method: 'flat', hash: { algorithm: 'sha256', bytes: digest } } as const
  const storePath = storePathOfContentAddress(ca, 'hello', [], { selfReference: false }, storeDir)
  return claimFor(nar, { storePath: must(storePath), ca, signers: [], ...changes })
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

/** What an upstream that cannot be reached answers. */
export function down(): never {
  throw new UpstreamError('connect', 'refused')
}

/** The NARs that an upstream was asked for. */
export function narsAsked({ asked }: FakeUpstream): readonly string[] {
  return asked.filter((what) => what.startsWith('nar '))
}

/** The value of a narinfo's field; `null` where it has none. */
export function field(narinfo: string, name: string): string | null {
  return new RegExp(`^${name}: (.*)$`, 'm').exec(narinfo)?.[1] ?? null
}

/** The names of the keys that signed a narinfo, as it says. */
export function signerNames(narinfo: string): readonly string[] {
  return [...narinfo.matchAll(/^Sig: ([^:]*):/gm)].map(([, name]) => must(name))
}
