import { deepEqual, equal, ok } from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import fc from 'fast-check'
import t from 'tap'
import nacl from 'tweetnacl'
import { encodeBase64 } from '../../src/nix/base64.ts'
import {
  formatContentAddress,
  parseContentAddress,
  storePathOfContentAddress,
} from '../../src/nix/content-address.ts'
import { formatNarinfo } from '../../src/nix/narinfo.ts'
import {
  formatSignature,
  parsePublicKey,
  parseSecretKey,
  publicKeyOf,
  type SecretKey,
  sign,
} from '../../src/nix/signature.ts'
import type { StorePathHash } from '../../src/nix/store-path.ts'
import { type Answer, type AnswerSlot, choose } from '../../src/policy/choose.ts'
import { readClaim } from '../../src/policy/claim.ts'
import type { Policy } from '../../src/policy/policy.ts'
import {
  judge,
  type RefusalReason,
  type SignatureEvidence,
  type Verdict,
} from '../../src/policy/verdict.ts'
import {
  contentAddressed,
  labPublicKey,
  must,
  narinfos,
  pathHash,
  storeDir,
} from '../nix/fixtures.ts'

const seed = 20260731
const maxNarBytes = 1_000_000

/* Keys: one of each upstream, one that both hold, and one that nobody holds. */
const secretKey = (name: string, byte: number): SecretKey => {
  const { secretKey } = nacl.sign.keyPair.fromSeed(new Uint8Array(32).fill(byte))
  return must(parseSecretKey(`${name}:${encodeBase64(secretKey)}`))
}
const nixosKey = secretKey('nixos-1', 1)
const acmeKey = secretKey('acme-1', 2)
const sharedKey = secretKey('shared-1', 3)
const strangerKey = secretKey('stranger-1', 4)
const impostorKey = secretKey('nixos-1', 5)

const policy: Policy = {
  storeDir,
  maxNarBytes,
  upstreams: [
    {
      name: 'nixos',
      keys: [publicKeyOf(nixosKey), publicKeyOf(sharedKey)],
      optional: false,
    },
    { name: 'acme', keys: [publicKeyOf(acmeKey), publicKeyOf(sharedKey)], optional: false },
    { name: 'keyless', keys: [], optional: false },
  ],
}

/* A claim as the fields of a narinfo, and the text that an upstream would send. */
type Fields = {
  readonly baseName: string
  readonly narHash: string
  readonly narSize: string
  readonly references: readonly string[]
  readonly ca: string | null
  readonly sigs: readonly string[]
  readonly extra: readonly string[]
}

const hashOne = 'sha256:1cam1rn5nrgrpa0qkp3j6ng7vlpr18rvajb10vc0cznyk1xnankv'
const hashTwo = 'sha256:0y2pc4gfpcpnqs0fk7ki24slri9jbw8ig26r400waz0kl6ani4lg'
const plain: Fields = {
  baseName: '05fkk8iijk1kq5cpqwnfcnh5yks8nj4m-top',
  narHash: hashOne,
  narSize: '310288',
  references: ['05fkk8iijk1kq5cpqwnfcnh5yks8nj4m-top', 'svw61j7fc3kqj6w3d64fza76j7cnhwhm-dep'],
  ca: null,
  sigs: [],
  extra: [],
}

/** What a signature covers, written from protocol.md, not taken from the code under test. */
const covered = ({ baseName, narHash, narSize, references }: Fields): string => {
  const paths = [...new Set(references)].map((name) => `/nix/store/${name}`).sort()
  return `1;/nix/store/${baseName};${narHash};${narSize};${paths.join(',')}`
}

const textOf = (fields: Fields): string =>
  [
    `StorePath: /nix/store/${fields.baseName}`,
    'URL: nar/some.nar.xz',
    'Compression: xz',
    `NarHash: ${fields.narHash}`,
    `NarSize: ${fields.narSize}`,
    `References: ${fields.references.join(' ')}`,
    ...fields.sigs.map((signature) => `Sig: ${signature}`),
    ...(fields.ca === null ? [] : [`CA: ${fields.ca}`]),
    ...fields.extra,
  ]
    .map((line) => `${line}\n`)
    .join('')

const signature = (key: SecretKey, fields: Fields): string =>
  formatSignature(sign(key, covered(fields)))
const signed = (fields: Fields, ...keys: readonly SecretKey[]): Fields => ({
  ...fields,
  sigs: keys.map((key) => signature(key, fields)),
})

const claimOf = (text: string | Uint8Array, upstream: string, hash: StorePathHash) =>
  readClaim(policy, upstream, hash, Buffer.from(text))

function verdictOn(fields: Fields, upstream = 'nixos', rules = policy): Verdict {
  const reading = claimOf(textOf(fields), upstream, pathHash(fields.baseName.slice(0, 32)))
  if (reading.kind === 'malformed') throw new TypeError(`not a claim: ${reading.reason}`)
  return judge(rules, reading.claim)
}

/* What a verdict says, in one line of a table. */
type Summary =
  | {
      readonly kind: 'trusted'
      /** The key's name, or `CA`. */
      readonly by: string
      readonly ca: string | null
      readonly handedOn: readonly string[]
      readonly evidence: readonly SignatureEvidence['result'][]
    }
  | {
      readonly kind: 'refused'
      readonly reason: RefusalReason
      readonly evidence: readonly SignatureEvidence['result'][]
    }

function summary(verdict: Verdict): Summary {
  const evidence = verdict.evidence.map(({ result }) => result)
  if (verdict.kind === 'refused') return { kind: 'refused', reason: verdict.reason, evidence }
  const { narinfo, voucher } = verdict
  return {
    kind: 'trusted',
    by: voucher.kind === 'signature' ? voucher.keyName : 'CA',
    ca: narinfo.ca && formatContentAddress(narinfo.ca),
    handedOn: narinfo.signatures.map(formatSignature),
    evidence,
  }
}

const refused = (
  reason: RefusalReason,
  ...evidence: readonly SignatureEvidence['result'][]
): Summary => ({ kind: 'refused', reason, evidence })

/* Content-addressed claims whose path recomputes, by the CA's kind. */
const addressed = (prefix: string, references = 0): Fields => {
  const found = contentAddressed.find(
    ([, refs, ca]) => ca.startsWith(prefix) && refs.length === references,
  )
  const [baseName, refs, ca] = must(found)
  return { ...plain, baseName, references: refs, ca }
}
const flat = addressed('fixed:sha256:')
const recursive = addressed('fixed:r:sha256:')
const withSelf = addressed('fixed:r:sha256:', 1)
const withReferences = addressed('fixed:r:sha256:', 2)
const text = addressed('text:sha256:', 1)
const sha512 = addressed('fixed:r:sha512:')
const md5 = addressed('fixed:md5:')
const sha1 = addressed('fixed:r:sha1:')
const git = (algorithm: 'sha1' | 'sha256'): Fields => {
  const digest = 'ab'.repeat(algorithm === 'sha1' ? 20 : 32)
  const ca = must(parseContentAddress(`fixed:git:${algorithm}:${digest}`))
  const path = storePathOfContentAddress(ca, 'tree', [], { selfReference: false }, storeDir)
  return {
    ...plain,
    baseName: must(path).baseName,
    references: [],
    ca: formatContentAddress(ca),
  }
}
const wrongCa = {
  ...plain,
  ca: 'fixed:r:sha256:18nrsqhkazc4vfyn8gn0kw60psmf29197n1hf96afkpyqyha06bx',
}

/** The signature with one bit of its 64 bytes changed. */
const broken = (text: string, bit = 77): string => {
  const colon = text.indexOf(':')
  const bytes = Buffer.from(text.slice(colon + 1), 'base64')
  bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  return `${text.slice(0, colon)}:${bytes.toString('base64')}`
}

const nixosSig = signature(nixosKey, plain)
const trustedBy = (
  fields: Fields,
  by: string,
  evidence: readonly SignatureEvidence['result'][],
  changes: { readonly ca?: null; readonly handedOn?: readonly string[] } = {},
): Summary => ({
  kind: 'trusted',
  by,
  ca: fields.ca,
  handedOn: fields.sigs,
  evidence,
  ...changes,
})

type Row = readonly [title: string, fields: Fields, expected: Summary, upstream?: string]

const signatures: readonly Row[] = [
  [
    "a valid signature by the upstream's own key vouches",
    signed(plain, nixosKey),
    trustedBy(signed(plain, nixosKey), 'nixos-1', ['vouches']),
  ],
  [
    'a key that two upstreams hold vouches for either',
    signed(plain, sharedKey),
    trustedBy(signed(plain, sharedKey), 'shared-1', ['vouches']),
    'acme',
  ],
  [
    "a valid signature by another upstream's key does not vouch",
    signed(plain, acmeKey),
    refused('no-trusted-signature', 'valid'),
  ],
  ['no signature at all is no trusted signature', plain, refused('no-trusted-signature')],
  [
    'a known key with a wrong signature is refused, not skipped',
    { ...plain, sigs: [broken(nixosSig)] },
    refused('no-trusted-signature', 'bad-signature'),
  ],
  [
    'another key under a known name is a bad signature',
    signed(plain, impostorKey),
    refused('no-trusted-signature', 'bad-signature'),
  ],
  [
    'a signature by an unknown key says so',
    signed(plain, strangerKey),
    refused('unknown-key', 'unknown-key'),
  ],
  [
    'a valid signature under the name of an unknown key is unknown: names are looked up, bytes decide',
    { ...plain, sigs: [nixosSig.replace('nixos-1', 'nixos-2')] },
    refused('unknown-key', 'unknown-key'),
  ],
  [
    "a valid signature under another upstream's key name is a bad signature",
    { ...plain, sigs: [nixosSig.replace('nixos-1', 'acme-1')] },
    refused('no-trusted-signature', 'bad-signature'),
  ],
  [
    'an unknown key beside a bad signature is no trusted signature',
    { ...plain, sigs: [signature(strangerKey, plain), broken(nixosSig)] },
    refused('no-trusted-signature', 'unknown-key', 'bad-signature'),
  ],
  [
    "an upstream without keys gains nothing from another's signature",
    signed(plain, nixosKey),
    refused('no-trusted-signature', 'valid'),
    'keyless',
  ],
  [
    'of several signatures only those that verified are handed on, in their order',
    {
      ...plain,
      sigs: [
        signature(strangerKey, plain),
        broken(signature(sharedKey, plain)),
        signature(acmeKey, plain),
        nixosSig,
      ],
    },
    {
      kind: 'trusted',
      by: 'nixos-1',
      ca: null,
      handedOn: [signature(acmeKey, plain), nixosSig],
      evidence: ['unknown-key', 'bad-signature', 'valid', 'vouches'],
    },
  ],
  [
    'a bad signature beside a good one under the same name is not handed on',
    { ...plain, sigs: [broken(nixosSig), nixosSig] },
    {
      kind: 'trusted',
      by: 'nixos-1',
      ca: null,
      handedOn: [nixosSig],
      evidence: ['bad-signature', 'vouches'],
    },
  ],
  [
    'malformed signatures are dropped, and are no evidence',
    { ...plain, sigs: ['nixos-1:AAAA', 'nonsense', nixosSig] },
    {
      kind: 'trusted',
      by: 'nixos-1',
      ca: null,
      handedOn: [nixosSig],
      evidence: ['vouches'],
    },
  ],
  [
    'a malformed signature alone is no trusted signature',
    { ...plain, sigs: [nixosSig.slice(0, -4)] },
    refused('no-trusted-signature'),
  ],
  [
    'a signature of another order of the same references vouches',
    {
      ...signed(plain, nixosKey),
      references: [...plain.references, ...plain.references].reverse(),
    },
    trustedBy(signed(plain, nixosKey), 'nixos-1', ['vouches']),
  ],
]

const strongAddresses: readonly (readonly [string, Fields])[] = [
  ['a flat sha256', flat],
  ['a recursive sha256', recursive],
  ['a recursive sha256 with a reference to itself', withSelf],
  ['a recursive sha256 with references', withReferences],
  ['a text', text],
  ['a recursive sha512', sha512],
]
const contentAddresses = strongAddresses.flatMap(([kind, claim]): readonly Row[] => [
  [`${kind} that recomputes needs no signature`, claim, trustedBy(claim, 'CA', [])],
  [
    `${kind} that recomputes needs no keys of its upstream`,
    claim,
    trustedBy(claim, 'CA', []),
    'keyless',
  ],
  [
    `${kind} that recomputes is trusted beside a bad signature, which is not handed on`,
    { ...claim, sigs: [broken(signature(nixosKey, claim))] },
    trustedBy(claim, 'CA', ['bad-signature']),
  ],
  [
    `${kind} under a valid signature is vouched for by the key, and keeps its CA`,
    signed(claim, nixosKey),
    trustedBy(signed(claim, nixosKey), 'nixos-1', ['vouches']),
  ],
  [
    `${kind} under another upstream's signature proves itself, and hands the signature on`,
    signed(claim, acmeKey),
    trustedBy(signed(claim, acmeKey), 'CA', ['valid']),
  ],
])

const weakOrWrong: readonly Row[] = [
  ...[['md5', md5] as const, ['sha1', sha1] as const].flatMap(([kind, fields]): Row[] => [
    [`${kind} never proves itself`, fields, refused('weak-content-address')],
    [
      `${kind} with a bad signature is refused for its weakness`,
      { ...fields, sigs: [broken(signature(nixosKey, fields))] },
      refused('weak-content-address', 'bad-signature'),
    ],
    [
      `${kind} with an unknown key's signature is refused for its weakness`,
      signed(fields, strangerKey),
      refused('weak-content-address', 'unknown-key'),
    ],
    [
      `${kind} under a valid signature is trusted, and keeps its CA`,
      signed(fields, nixosKey),
      trustedBy(signed(fields, nixosKey), 'nixos-1', ['vouches']),
    ],
  ]),
  ['a CA that does not recompute is refused', wrongCa, refused('bad-content-address')],
  [
    'a CA that does not recompute is refused under an unknown key',
    signed(wrongCa, strangerKey),
    refused('bad-content-address', 'unknown-key'),
  ],
  [
    "a CA that does not recompute is refused under another upstream's key",
    signed(wrongCa, acmeKey),
    refused('bad-content-address', 'valid'),
  ],
  [
    'a CA that does not recompute is taken away under a valid signature',
    signed(wrongCa, nixosKey),
    trustedBy(signed(wrongCa, nixosKey), 'nixos-1', ['vouches'], { ca: null }),
  ],
  [
    'a CA of another name of the path does not recompute',
    { ...flat, baseName: `${flat.baseName}2` },
    refused('bad-content-address'),
  ],
  [
    'a CA without one of its references does not recompute',
    { ...withReferences, references: withReferences.references.slice(1) },
    refused('bad-content-address'),
  ],
  [
    'a CA with one reference more does not recompute',
    { ...recursive, references: plain.references.slice(1) },
    refused('bad-content-address'),
  ],
  [
    'a CA of the same digest by another method does not recompute',
    { ...recursive, ca: must(recursive.ca).replace('fixed:r:', 'fixed:') },
    refused('bad-content-address'),
  ],
  ...(['sha1', 'sha256'] as const).flatMap((algorithm): Row[] => [
    [
      `a git tree by ${algorithm} does not vouch: its content cannot be checked`,
      git(algorithm),
      refused('bad-content-address'),
    ],
    [
      `a git tree by ${algorithm} loses the field under a valid signature`,
      signed(git(algorithm), nixosKey),
      trustedBy(signed(git(algorithm), nixosKey), 'nixos-1', ['vouches'], { ca: null }),
    ],
  ]),
]

for (const [title, fields, expected, upstream] of [
  ...signatures,
  ...contentAddresses,
  ...weakOrWrong,
]) {
  t.test(title, async (t) => {
    t.strictSame(summary(verdictOn(fields, upstream)), expected)
  })
}

t.test('an upstream that the policy does not name vouches for nothing', async (t) => {
  for (const fields of [signed(plain, nixosKey), flat, plain, wrongCa, md5]) {
    const verdict = verdictOn(fields, 'removed')
    t.equal(verdict.kind === 'refused' && verdict.reason, 'upstream-not-allowed')
  }
})

t.test('a claim is trusted no longer once its key has left the policy', async (t) => {
  const later = {
    ...policy,
    upstreams: policy.upstreams.map((each) => ({ ...each, keys: [publicKeyOf(sharedKey)] })),
  }
  t.equal(verdictOn(signed(plain, nixosKey)).kind, 'trusted')
  t.strictSame(
    summary(verdictOn(signed(plain, nixosKey), 'nixos', later)),
    refused('unknown-key', 'unknown-key'),
  )
})

t.test('the evidence names the key of each signature', async (t) => {
  const { evidence } = verdictOn(signed(plain, strangerKey, acmeKey, nixosKey))
  t.strictSame(evidence, [
    { keyName: 'stranger-1', result: 'unknown-key' },
    { keyName: 'acme-1', result: 'valid' },
    { keyName: 'nixos-1', result: 'vouches' },
  ])
})

t.test('what is handed on has the known fields and nothing else', async (t) => {
  const fields = {
    ...signed(plain, nixosKey),
    extra: ['Deriver: 2xjx36wr0cbxvfjbhn4k2dni6j0li1w3-top.drv', 'BloomFilter: x', 'sig: y'],
  }
  const verdict = verdictOn(fields)
  if (verdict.kind === 'refused') throw new TypeError(verdict.reason)
  t.strictSame(verdict.narinfo.unknownFields, [])
  t.equal(
    formatNarinfo(verdict.narinfo, storeDir),
    textOf({ ...fields, sigs: [], extra: [] }) +
      `Deriver: 2xjx36wr0cbxvfjbhn4k2dni6j0li1w3-top.drv\nSig: ${must(fields.sigs[0])}\n`,
  )
})

t.test('the narinfos that Nix wrote are trusted with its key', async (t) => {
  const key = must(parsePublicKey(labPublicKey))
  const rules = { ...policy, upstreams: [{ name: 'lab', keys: [key], optional: false }] }
  for (const text of Object.values(narinfos)) {
    const hash = pathHash(text.slice('StorePath: /nix/store/'.length).slice(0, 32))
    const reading = readClaim(rules, 'lab', hash, Buffer.from(text))
    if (reading.kind === 'malformed') throw new TypeError(reading.reason)
    const verdict = judge(rules, reading.claim)
    t.equal(verdict.kind === 'trusted' && formatNarinfo(verdict.narinfo, storeDir), text)
  }
})

const asked = pathHash('05fkk8iijk1kq5cpqwnfcnh5yks8nj4m')
const good = textOf(signed(plain, nixosKey))
const malformed: readonly (readonly [string, string, RegExp])[] = [
  ['for another hash', textOf(signed(flat, nixosKey)), /^StorePath: is another path's/],
  [
    'of another store',
    good.replace('/nix/store/05', '/gnu/store/05'),
    /^StorePath: not a path in \/nix\/store$/,
  ],
  [
    'larger than the bound',
    good.replace('310288', String(maxNarBytes + 1)),
    /^NarSize: above the limit of 1000000 bytes$/,
  ],
  [
    'of a size that no number holds',
    good.replace('310288', String(2n ** 64n - 1n)),
    /^NarSize: above the limit/,
  ],
  ['that is empty', '', /^empty$/],
  ['that is a web page', '<html>\n<p>Log in: here</p>\n</html>\n', /colon/],
  ['without its end', good.slice(0, -1), /newline/],
  ['with a NarHash that is not sha256', good.replace(hashOne, `md5:${'0'.repeat(32)}`), /^NarHash/],
]
for (const [what, text, reason] of malformed) {
  t.test(`a narinfo ${what} is malformed, whoever signed it`, async (t) => {
    const reading = claimOf(text, 'nixos', asked)
    t.equal(reading.kind, 'malformed')
    t.match(reading.kind === 'malformed' && reading.reason, reason)
  })
}

t.test('a NarSize of the bound itself is a claim', async (t) => {
  t.equal(claimOf(good.replace('310288', String(maxNarBytes)), 'nixos', asked).kind, 'claim')
})

t.test('a claim keeps what the upstream sent, byte by byte', async (t) => {
  const sent = `${good}Unknown: field\nSig: malformed\n`
  const reading = claimOf(sent, 'nixos', asked)
  t.equal(reading.kind, 'claim')
  if (reading.kind === 'claim') {
    t.equal(reading.claim.upstream, 'nixos')
    t.equal(Buffer.from(reading.claim.text).toString(), sent)
  }
})

const otherPath = 'svw61j7fc3kqj6w3d64fza76j7cnhwhm-dep'
const signedFields: readonly (readonly [string, Partial<Fields>])[] = [
  ['the name', { baseName: '05fkk8iijk1kq5cpqwnfcnh5yks8nj4m-tor' }],
  ['the hash', { baseName: '15fkk8iijk1kq5cpqwnfcnh5yks8nj4m-top' }],
  ['the NarHash', { narHash: hashOne.replace('1cam', '0cam') }],
  ['the NarSize', { narSize: '310289' }],
  ['a reference', { references: [must(plain.references[0]), otherPath.replace('dep', 'deq')] }],
  ['the number of references', { references: [otherPath] }],
]
for (const [what, change] of signedFields) {
  t.test(`a change of ${what} breaks the signature`, async (t) => {
    t.strictSame(
      summary(verdictOn({ ...signed(plain, nixosKey), ...change })),
      refused('no-trusted-signature', 'bad-signature'),
    )
  })
}

/** What a text still claims where it is trusted, `null` where it is not. */
function stillClaims(text: Uint8Array, upstream: string, hash: StorePathHash) {
  const reading = claimOf(text, upstream, hash)
  if (reading.kind === 'malformed') return null
  const verdict = judge(policy, reading.claim)
  if (verdict.kind === 'refused') return null
  const { narinfo } = verdict
  return {
    path: narinfo.storePath.baseName,
    references: [...new Set(narinfo.references.map(({ baseName }) => baseName))].sort(),
    narHash: Buffer.from(narinfo.narHash.bytes).toString('hex'),
    narSize: narinfo.narSize,
    ca: narinfo.ca && formatContentAddress(narinfo.ca),
  }
}

function* flips(text: string): Generator<Uint8Array> {
  const bytes = Buffer.from(text)
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = Buffer.from(bytes)
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    yield flipped
  }
}

t.test('no flipped bit of a signed narinfo changes what is trusted', async (t) => {
  const claims = must(stillClaims(Buffer.from(good), 'nixos', asked))
  let trusted = 0
  for (const text of flips(good)) {
    const now = stillClaims(text, 'nixos', asked)
    if (now === null) continue
    trusted++
    deepEqual(now, claims, Buffer.from(text).toString())
  }
  t.ok(trusted > 0, 'flips in fields that nobody signs are still trusted')
})

t.test('no flipped bit of a content-addressed narinfo makes it another path', async (t) => {
  const sent = textOf(withReferences)
  const hash = pathHash(withReferences.baseName.slice(0, 32))
  const { path, references, ca } = must(stillClaims(Buffer.from(sent), 'keyless', hash))
  for (const text of flips(sent)) {
    const now = stillClaims(text, 'keyless', hash)
    if (now === null) continue
    deepEqual([now.path, now.references, now.ca], [path, references, ca])
  }
  t.pass()
})

/* Claims without a valid signature of their upstream's key and without a strong content address, however they come about. */
const baseNames = [plain.baseName, otherPath, flat.baseName, md5.baseName, withSelf.baseName]
const anyReferences = fc.uniqueArray(fc.constantFrom(...baseNames), { maxLength: 4 })
const anyFields = fc.record({
  baseName: fc.constantFrom(...baseNames),
  narHash: fc.constantFrom(hashOne, hashTwo),
  narSize: fc.bigInt(1n, BigInt(maxNarBytes)).map(String),
  references: anyReferences,
})
const anyForgery = fc.record({
  fields: anyFields,
  /* Signed by their own key, but for other fields. */
  signedFields: fc.array(
    fc.record({
      fields: anyFields,
      key: fc.constantFrom(nixosKey, sharedKey),
    }),
    { maxLength: 2 },
  ),
  /* Signed for these very fields, by keys that may not vouch here. */
  foreign: fc.array(fc.constantFrom(acmeKey, strangerKey, impostorKey), { maxLength: 3 }),
  /* Signed for these very fields by their own key, with a bit changed. */
  flippedBits: fc.array(fc.nat(511), { maxLength: 2 }),
  junk: fc.array(fc.constantFrom('nixos-1:', 'nixos-1:AAAA', ':', ''), { maxLength: 2 }),
  ca: fc.oneof(
    fc.constant(null),
    fc.constantFrom(md5.ca, sha1.ca, flat.ca, withSelf.ca, text.ca, git('sha256').ca),
    fc
      .tuple(
        fc.constantFrom('fixed:sha256:', 'fixed:r:sha256:', 'text:sha256:', 'fixed:git:sha256:'),
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
      )
      .map(([prefix, bytes]) => prefix + Buffer.from(bytes).toString('hex')),
  ),
})
const strong: ReadonlySet<string> = new Set(
  [flat, withSelf].map(({ baseName, references, ca }) =>
    JSON.stringify([baseName, references, ca]),
  ),
)

t.test(
  'nothing is trusted without a valid signature of its own upstream or a strong content address',
  async () => {
    const reasons = new Set<RefusalReason>()
    fc.assert(
      fc.property(anyForgery, ({ fields, signedFields, foreign, flippedBits, junk, ca }) => {
        const claim: Fields = { ...plain, ...fields, ca }
        fc.pre(!strong.has(JSON.stringify([claim.baseName, claim.references, claim.ca])))
        const others = signedFields.filter(
          (other) => covered({ ...claim, ...other.fields }) !== covered(claim),
        )
        const sigs = [
          ...others.map(({ fields, key }) => signature(key, { ...claim, ...fields })),
          ...foreign.map((key) => signature(key, claim)),
          ...flippedBits.map((bit) => broken(signature(nixosKey, claim), bit)),
          ...junk,
        ]
        const verdict = verdictOn({ ...claim, sigs })
        if (verdict.kind === 'trusted') throw new TypeError('a forgery is trusted')
        reasons.add(verdict.reason)
        ok(verdict.evidence.every(({ result }) => result !== 'vouches'))
      }),
      { seed, numRuns: 400 },
    )
    deepEqual(
      [...reasons].sort(),
      ['bad-content-address', 'no-trusted-signature', 'unknown-key', 'weak-content-address'],
      'the forgeries are of every kind',
    )
  },
)

t.test('whatever junk is added, a valid signature of its own upstream is found', async () => {
  fc.assert(
    fc.property(anyForgery, fc.nat(8), ({ fields, foreign, flippedBits, junk, ca }, at) => {
      const claim: Fields = { ...plain, ...fields, ca }
      const others = [
        ...foreign.map((key) => signature(key, claim)),
        ...flippedBits.map((bit) => broken(signature(nixosKey, claim), bit)),
        ...junk,
      ]
      const sigs = others.toSpliced(at, 0, signature(nixosKey, claim))
      const verdict = verdictOn({ ...claim, sigs })
      if (verdict.kind === 'refused') throw new TypeError(verdict.reason)
      deepEqual(verdict.voucher, { kind: 'signature', keyName: 'nixos-1' })
      const allowed = new Set([signature(nixosKey, claim), signature(acmeKey, claim)])
      ok(verdict.narinfo.signatures.every((each) => allowed.has(formatSignature(each))))
    }),
    { seed, numRuns: 200 },
  )
})

/* Choosing. */
function answers(upstream: string): readonly Answer[] {
  const reading = claimOf(good, upstream, asked)
  if (reading.kind === 'malformed') throw new TypeError(reading.reason)
  const { claim } = reading
  const { narinfo } = claim
  return [
    {
      kind: 'trusted',
      claim,
      verdict: { kind: 'trusted', narinfo, voucher: { kind: 'content-address' }, evidence: [] },
    },
    {
      kind: 'refused',
      claim,
      verdict: { kind: 'refused', reason: 'no-trusted-signature', evidence: [] },
    },
    { kind: 'absent' },
    { kind: 'unknown', code: 'timeout', reason: 'no answer in time' },
  ]
}

const answersOf = ['a', 'b', 'c', 'd'].map((upstream) => [upstream, answers(upstream)] as const)

/** All rows of `length` slots: every answer and every wait, of optional upstreams and others. */
function rows(length: number): readonly (readonly AnswerSlot[])[] {
  if (length === 0) return [[]]
  const [upstream, possible] = must(answersOf[length - 1])
  const last = [null, ...possible].flatMap((answer) => [
    { upstream, optional: false, answer },
    { upstream, optional: true, answer },
  ])
  return rows(length - 1).flatMap((slots) => last.map((slot) => [...slots, slot]))
}

/** All ways in which the answers that are awaited may turn out. */
function completions(slots: readonly AnswerSlot[]): readonly (readonly AnswerSlot[])[] {
  return slots.reduce<readonly (readonly AnswerSlot[])[]>(
    (rows, slot, index) => {
      const possible = slot.answer === null ? must(answersOf[index])[1] : [slot.answer]
      return rows.flatMap((row) => possible.map((answer) => [...row, { ...slot, answer }]))
    },
    [[]],
  )
}

/** The rule, where everybody has answered. */
function outcome(slots: readonly AnswerSlot[]): string {
  const winner = slots.find(({ answer }) => answer?.kind === 'trusted')
  if (winner !== undefined) return `trusted ${winner.upstream}`
  const lost = slots.filter(({ answer, optional }) => answer?.kind === 'unknown' && !optional)
  return lost.length > 0 ? 'unknown' : 'absent'
}

t.test(
  'the choice is what every outcome of the awaited answers would lead to, and else to wait',
  async (t) => {
    for (const length of [0, 1, 2, 3]) {
      for (const slots of rows(length)) {
        const outcomes = new Set(completions(slots).map(outcome))
        const expected = outcomes.size === 1 ? [...outcomes][0] : 'wait'
        const choice = choose(slots)
        const chosen =
          choice.kind === 'trusted' ? `trusted ${choice.answer.claim.upstream}` : choice.kind
        equal(chosen, expected, JSON.stringify(slots.map(({ answer }) => answer?.kind ?? null)))
      }
    }
    t.pass()
  },
)

t.test(
  'with four upstreams and all answers in, the most preferred trusted claim wins',
  async (t) => {
    for (const slots of rows(4)) {
      if (slots.some(({ answer }) => answer === null)) continue
      const choice = choose(slots)
      equal(
        choice.kind === 'trusted' ? `trusted ${choice.answer.claim.upstream}` : choice.kind,
        outcome(slots),
      )
    }
    t.pass()
  },
)
