import { Buffer } from 'node:buffer'
import t from 'tap'
import { formatNarinfo } from '../../src/nix/narinfo.ts'
import { parsePublicKey, publicKeyOf } from '../../src/nix/signature.ts'
import { readClaim } from '../../src/policy/claim.ts'
import { judge } from '../../src/policy/verdict.ts'
import { labPublicKey, must, narinfos, pathHash, storeDir } from '../nix/fixtures.ts'
import {
  broken,
  type Fields,
  flat,
  hashOne,
  md5,
  plain,
  refused,
  signature,
  signed,
  type Summary,
  summary,
  textOf,
  trustedBy,
  verdictOn,
  wrongCa,
} from './claims.ts'
import {
  acmeKey,
  impostorKey,
  nixosKey,
  policy,
  sharedKey,
  strangerKey,
  upstream,
} from './policies.ts'

const nixosSig = signature(nixosKey, plain)

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

for (const [title, fields, expected, upstream] of signatures) {
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
  const rules = { ...policy, upstreams: [{ ...upstream('lab', []), keys: [key] }] }
  for (const text of Object.values(narinfos)) {
    const hash = pathHash(text.slice('StorePath: /nix/store/'.length).slice(0, 32))
    const reading = readClaim(rules, 'lab', hash, Buffer.from(text))
    if (reading.kind === 'malformed') throw new TypeError(reading.reason)
    const verdict = judge(rules, reading.claim)
    t.equal(verdict.kind === 'trusted' && formatNarinfo(verdict.narinfo, storeDir), text)
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
