import fc from 'fast-check'
import t from 'tap'
import { generateSecretKey, publicKeyOf } from '../../src/nix/signature.ts'
import { parseStorePathHash } from '../../src/nix/store-path.ts'
import { type Answer, type AnswerSlot, choose } from '../../src/policy/choose.ts'
import { readClaim } from '../../src/policy/claim.ts'
import type { Policy } from '../../src/policy/policy.ts'
import { judge, type Verdict } from '../../src/policy/verdict.ts'
import { must, parsed, plainNarinfo, signed, storeDir } from './signed-narinfo.ts'

const ours = generateSecretKey('ours-1')
const theirs = generateSecretKey('theirs-1')
const strangers = generateSecretKey('stranger-1')
const impostor = generateSecretKey('ours-1')

const policy: Policy = {
  storeDir,
  upstreams: [
    { name: 'ours', keys: [publicKeyOf(ours)], optional: false },
    { name: 'theirs', keys: [publicKeyOf(theirs)], optional: false },
    { name: 'keyless', keys: [], optional: false },
  ],
  maxNarBytes: 1_000_000_000,
}

const hash = must(parseStorePathHash('05fkk8iijk1kq5cpqwnfcnh5yks8nj4m'))

function verdictOn(text: string, upstream = 'ours'): Verdict {
  const reading = readClaim(policy, upstream, parsed(text).storePath.hash, Buffer.from(text))
  if (reading.kind === 'malformed') throw new Error(reading.reason)
  return judge(policy, reading.claim)
}

const outcome = (verdict: Verdict): string =>
  verdict.kind === 'trusted' ? `trusted by ${verdict.voucher.kind}` : verdict.reason

const plain = plainNarinfo()
/* The content-addressed example of Nix 2.8: the file "hello", and its NAR. */
const flatCa = 'fixed:sha256:094qif9n4cq4fdg459qzbhg1c6wywawwaaivx0k0x8xhbyx4vwic'
const flat = {
  StorePath: '/nix/store/3fhdhfqli6qm669f7sz8d8v6xz24zrqc-hello',
  References: '',
  CA: flatCa,
}

const table: readonly (readonly [string, string, string, string])[] = [
  ["the upstream's own key", 'ours', signed(plain, ours), 'trusted by signature'],
  ["another upstream's key", 'ours', signed(plain, theirs), 'no-trusted-signature'],
  [
    'its own key among others',
    'ours',
    signed(plain, strangers, theirs, ours),
    'trusted by signature',
  ],
  ['a key that nobody holds', 'ours', signed(plain, strangers), 'unknown-key'],
  ['another key under a known name', 'ours', signed(plain, impostor), 'no-trusted-signature'],
  ['no signature', 'ours', plain, 'no-trusted-signature'],
  ['an upstream without keys', 'keyless', signed(plain, ours), 'no-trusted-signature'],
  ['an upstream that the policy lacks', 'gone', signed(plain, ours), 'upstream-not-allowed'],
  ['a content address that holds', 'keyless', plainNarinfo(flat), 'trusted by content-address'],
  ['the same, signed', 'ours', signed(plainNarinfo(flat), ours), 'trusted by signature'],
  ['the same from an upstream that is gone', 'gone', plainNarinfo(flat), 'upstream-not-allowed'],
  ['a CA label that does not hold', 'keyless', plainNarinfo({ CA: flatCa }), 'bad-content-address'],
  [
    'a CA label beside a good signature',
    'ours',
    signed(plainNarinfo({ CA: flatCa }), ours),
    'trusted by signature',
  ],
  [
    'a CA label beside a signature of somebody else',
    'ours',
    signed(plainNarinfo({ CA: flatCa }), theirs),
    'bad-content-address',
  ],
]

for (const [title, upstream, text, expected] of table) {
  t.test(`${title}: ${expected}`, async (t) => {
    t.equal(outcome(verdictOn(text, upstream)), expected)
  })
}

t.test('what is handed on: known fields, verified signatures, a CA that holds', async (t) => {
  const junk = 'Sig: ours-1:not+base64\n'
  const text = `${signed(plainNarinfo({ CA: flatCa }), impostor, strangers, theirs, ours)}${junk}Extra: x\n`
  const verdict = verdictOn(text)
  if (verdict.kind !== 'trusted') throw new Error(verdict.reason)
  t.same(
    verdict.narinfo.signatures.map(({ keyName }) => keyName),
    ['theirs-1', 'ours-1'],
  )
  t.equal(verdict.narinfo.ca, null, 'a CA that does not hold is cut off')
  t.same(verdict.narinfo.unknownFields, [])
  t.same(verdict.narinfo.malformedSignatures, [])
  t.same(
    verdict.evidence.map(({ result }) => result),
    ['bad-signature', 'unknown-key', 'valid', 'vouches'],
  )
})

t.test('a signed field that was changed is never vouched for', async (t) => {
  const text = signed(plain, ours)
  const changes: Readonly<Record<string, (text: string) => string>> = {
    StorePath: (s) => s.replace('-top\n', '-tap\n'),
    NarHash: (s) => s.replace('sha256:1cam', 'sha256:1cab'),
    NarSize: (s) => s.replace('310288', '310289'),
    References: (s) => s.replace('-dep\n', '-dap\n'),
    'a reference more': (s) => s.replace('References: ', `References: ${'0'.repeat(32)}-x `),
    'a reference less': (s) => s.replace(/References: .*/, 'References: '),
  }
  for (const [field, change] of Object.entries(changes)) {
    const changed = change(text)
    t.not(changed, text)
    t.equal(outcome(verdictOn(changed)), 'no-trusted-signature', field)
  }
})

t.test(
  'the first step: another path, an oversize NAR and what is no narinfo are malformed',
  async (t) => {
    const read = (text: string) => readClaim(policy, 'ours', hash, Buffer.from(text))
    t.equal(read(signed(plain, ours)).kind, 'claim')
    const other = plainNarinfo({ StorePath: `/nix/store/${'0'.repeat(32)}-top` })
    t.match(read(signed(other, ours)), { kind: 'malformed', reason: /another path/ })
    t.match(read(plainNarinfo({ NarSize: '1000000001' })), { kind: 'malformed', reason: /NarSize/ })
    t.match(read('<html>\n'), { kind: 'malformed' })
  },
)

t.test('md5 and sha1 never prove themselves', async (t) => {
  // The store path of a flat md5 of all zeros, as Nix computes it, is checked by content-address.test.ts; here any
  // weak address is either wrong or weak, and neither is trusted without a signature.
  for (const ca of [`fixed:md5:${'0'.repeat(26)}`, `fixed:r:sha1:${'0'.repeat(32)}`]) {
    t.match(outcome(verdictOn(plainNarinfo({ CA: ca }), 'keyless')), /content-address$/)
    t.equal(outcome(verdictOn(signed(plainNarinfo({ CA: ca }), ours))), 'trusted by signature')
  }
})

t.test(
  'property: without its own key and without a strong address nothing is trusted',
  async (t) => {
    const text = signed(plain, theirs, strangers, impostor)
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const bytes = Buffer.from(text)
        bytes[at] = (bytes[at] ?? 0) ^ change
        const reading = readClaim(policy, 'ours', hash, bytes)
        return reading.kind === 'malformed' || judge(policy, reading.claim).kind === 'refused'
      }),
      { seed: 8484, numRuns: 2000 },
    )
    t.pass()
  },
)

t.test('the choice is strictly by preference, and absent only where that is certain', async (t) => {
  const verdict = verdictOn(signed(plain, ours))
  const refused = verdictOn(plain)
  const claim = { upstream: 'x', narinfo: parsed(plain), text: Buffer.from(plain) }
  if (verdict.kind !== 'trusted' || refused.kind !== 'refused') throw new Error('fixtures')
  const answers: readonly (Answer | null)[] = [
    null,
    { kind: 'trusted', claim, verdict },
    { kind: 'refused', claim, verdict: refused },
    { kind: 'absent' },
    { kind: 'unknown', code: 'timeout', reason: '' },
  ]
  const slots = answers.flatMap((answer) =>
    [true, false].map((optional): AnswerSlot => ({ upstream: 'x', optional, answer })),
  )
  let count = 0
  for (const one of slots) {
    for (const two of slots) {
      for (const three of slots) {
        const all = [one, two, three]
        const decided = all.findIndex(({ answer }) => answer === null || answer.kind === 'trusted')
        const isOutage = all.some((s) => s.answer?.kind === 'unknown' && !s.optional)
        const expected =
          decided === -1
            ? isOutage
              ? 'unknown'
              : 'absent'
            : all[decided]?.answer === null
              ? 'wait'
              : 'trusted'
        if (choose(all).kind !== expected) t.fail(JSON.stringify(all.map((s) => s.answer?.kind)))
        count += 1
      }
    }
  }
  t.equal(count, 1000)
  t.equal(choose([]).kind, 'absent')
})
