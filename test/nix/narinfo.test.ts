import { deepEqual } from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import fc from 'fast-check'
import t from 'tap'
import { contentAddressMatches } from '../../src/nix/content-address.ts'
import { fingerprint } from '../../src/nix/fingerprint.ts'
import { formatHash, parseHash } from '../../src/nix/hash.ts'
import {
  type Narinfo,
  formatNarinfo,
  maxNarinfoBytes,
  maxNarinfoLines,
  maxReferences,
  maxSignatures,
  maxUrlLength,
  parseNarinfo,
} from '../../src/nix/narinfo.ts'
import { parsePublicKey, verifySignature } from '../../src/nix/signature.ts'
import { parseStoreDir } from '../../src/nix/store-path.ts'
import { labPublicKey, must, narinfos, path, storeDir, topNarinfo } from './fixtures.ts'

const seed = 20260730
const key = must(parsePublicKey(labPublicKey))
const read = (text: string | Uint8Array) => parseNarinfo(Buffer.from(text), storeDir)

function accepted(text: string | Uint8Array): Narinfo {
  const parsed = read(text)
  if (parsed.kind === 'malformed') throw new Error(`${parsed.field ?? 'text'}: ${parsed.reason}`)
  return parsed.narinfo
}

/** The field at fault and the reason, in one line, or `ok`. */
function fault(text: string | Uint8Array): string {
  const parsed = read(text)
  return parsed.kind === 'ok' ? 'ok' : `${parsed.field ?? '-'}: ${parsed.reason}`
}

const replaceLine = (field: string, line: string) =>
  topNarinfo.replace(new RegExp(`^${field}: .*\n`, 'm'), line)
const isSigned = (narinfo: Narinfo) =>
  narinfo.signatures.some((sig) => verifySignature(key, fingerprint(narinfo, storeDir), sig))

for (const [name, text] of Object.entries(narinfos)) {
  t.test(`${name}, which Nix wrote, comes back byte by byte and is validly signed`, async (t) => {
    const narinfo = accepted(text)
    t.equal(formatNarinfo(narinfo, storeDir), text)
    t.ok(isSigned(narinfo))
    t.equal(contentAddressMatches(narinfo, storeDir), narinfo.ca !== null)
  })
}

t.test('every field of a narinfo is read', async (t) => {
  const narinfo = accepted(topNarinfo)
  const { narHash, fileHash, signatures, ...rest } = narinfo
  const top = path('05fkk8iijk1kq5cpqwnfcnh5yks8nj4m-top')
  t.same(rest, {
    storePath: top,
    url: 'nar/05c5cp03iil5qlgz1mq6wmwzg176j6ksp2d5ky0nlyqz6wwvsyrj.nar.xz',
    compression: 'xz',
    fileSize: 309128n,
    narSize: 310288n,
    references: [top, path('svw61j7fc3kqj6w3d64fza76j7cnhwhm-dep')],
    deriver: path('2xjx36wr0cbxvfjbhn4k2dni6j0li1w3-top.drv'),
    malformedSignatures: [],
    ca: null,
    unknownFields: [],
  })
  t.equal(formatHash(narHash), 'sha256:1cam1rn5nrgrpa0qkp3j6ng7vlpr18rvajb10vc0cznyk1xnankv')
  t.equal(formatHash(must(fileHash)), 'sha256:05c5cp03iil5qlgz1mq6wmwzg176j6ksp2d5ky0nlyqz6wwvsyrj')
  t.equal(signatures[0]?.keyName, 'lab.test-1')
})

const minimal = [
  'StorePath: /nix/store/05fkk8iijk1kq5cpqwnfcnh5yks8nj4m-top',
  'URL: nar/x.nar',
  'NarHash: sha256:1cam1rn5nrgrpa0qkp3j6ng7vlpr18rvajb10vc0cznyk1xnankv',
  'NarSize: 1',
  '',
].join('\n')

t.test('StorePath, URL, NarHash and NarSize are enough', async (t) => {
  const narinfo = accepted(minimal)
  t.same(
    [narinfo.fileHash, narinfo.fileSize, narinfo.deriver, narinfo.ca],
    [null, null, null, null],
  )
  t.same([narinfo.references, narinfo.signatures], [[], []])
  t.equal(narinfo.compression, 'bzip2', 'a missing compression means bzip2')
  t.match(formatNarinfo(narinfo, storeDir), /\nReferences: \n$/)
})

for (const field of ['StorePath', 'URL', 'NarHash', 'NarSize']) {
  t.test(`a narinfo without ${field} is refused`, async (t) => {
    t.equal(fault(replaceLine(field, '')), `${field}: missing`)
    t.equal(fault(replaceLine(field, `${field.toLowerCase()}: x\n`)), `${field}: missing`)
  })
}

const refusedTexts: readonly (readonly [string, string | Uint8Array, string])[] = [
  ['an empty file', '', '-: empty'],
  [
    'a missing final newline',
    topNarinfo.slice(0, -1),
    '-: the last line does not end in a newline',
  ],
  ['a trailing blank line', `${topNarinfo}\n`, '-: a line has no colon'],
  ['a blank line in the middle', topNarinfo.replace('\nURL', '\n\nURL'), '-: a line has no colon'],
  ['a byte order mark', `\uFEFF${topNarinfo}`, '-: begins with a byte order mark'],
  ['CRLF', topNarinfo.replaceAll('\n', '\r\n'), '-: contains a control character'],
  ['a NUL', topNarinfo.replace('nar/', 'nar/\0'), '-: contains a control character'],
  ['a tab after a colon', topNarinfo.replace('URL: ', 'URL:\t'), '-: contains a control character'],
  ['no space after a colon', topNarinfo.replace('URL: ', 'URL:'), 'URL: no space after the colon'],
  ['HTML', '<!DOCTYPE html>\n<html></html>\n', '-: a line has no colon'],
  ['a line without a colon', `${topNarinfo}x\n`, '-: a line has no colon'],
  [
    'empty references without the space',
    replaceLine('References', 'References:\n'),
    'References: no space after the colon',
  ],
  ['text that is not UTF-8', Buffer.from(`${topNarinfo}X: \xff\n`, 'latin1'), '-: not UTF-8'],
  ['an overlong encoding', Buffer.from(`${topNarinfo}X: \xc0\xaf\n`, 'latin1'), '-: not UTF-8'],
  [
    'more than the allowed bytes',
    `${topNarinfo}X: ${'x'.repeat(maxNarinfoBytes)}\n`,
    '-: longer than 2097152 bytes',
  ],
  [
    'more than the allowed lines',
    topNarinfo + 'X: \n'.repeat(maxNarinfoLines),
    '-: more than 1000 lines',
  ],
]
for (const [what, text, expected] of refusedTexts) {
  t.test(`a narinfo with ${what} is refused`, async (t) => {
    t.equal(fault(text), expected)
  })
}

const size = 'not a number below 2⁶⁴'
const hash = '05fkk8iijk1kq5cpqwnfcnh5yks8nj4m'
const refusedValues: readonly (readonly [string, string, string])[] = [
  ['StorePath', `/gnu/store/${hash}-top`, 'not a path in /nix/store'],
  ['StorePath', `/nix/store/${hash}-..`, 'not a path in /nix/store'],
  ['StorePath', `/nix/store/${hash}-top `, 'not a path in /nix/store'],
  ['StorePath', `/nix/store/${hash}-${'a'.repeat(212)}`, 'not a path in /nix/store'],
  ['URL', '', 'empty'],
  ['URL', 'x'.repeat(maxUrlLength + 1), 'longer than 4096 characters'],
  ['Compression', 'rar', 'unknown compression'],
  ['Compression', 'XZ', 'unknown compression'],
  ['FileHash', '', 'not a hash'],
  ['FileHash', 'sha256:x', 'not a hash'],
  ['FileSize', '-1', size],
  ['FileSize', '', size],
  ['NarHash', '', 'not a hash'],
  ['NarHash', '1cam1rn5nrgrpa0qkp3j6ng7vlpr18rvajb10vc0cznyk1xnankv', 'not a hash'],
  ['NarHash', `sha1:${'00'.repeat(20)}`, 'not sha256, which signatures demand'],
  ['NarHash', `sha512:${'00'.repeat(64)}`, 'not sha256, which signatures demand'],
  ['NarSize', '0', 'zero'],
  ['NarSize', '1e3', size],
  ['NarSize', '0x10', size],
  ['NarSize', '+1', size],
  ['NarSize', ' 1', size],
  ['NarSize', '18446744073709551616', size],
  ['NarSize', '1'.repeat(10_000), size],
  ['References', hash, 'not a list of store paths'],
  ['References', `/nix/store/${hash}-top`, 'not a list of store paths'],
  ['References', `${hash}-top,${hash}-top`, 'not a list of store paths'],
  ['References', `${hash}-a `.repeat(maxReferences + 1), 'more than 20000 references'],
  ['Deriver', '', 'not a store path'],
  ['Deriver', `/nix/store/${hash}-top.drv`, 'not a store path'],
]
for (const [field, value, reason] of refusedValues) {
  const shown = value.length > 60 ? `${value.slice(0, 20)}… (${value.length} characters)` : value
  t.test(`${field} “${shown}” is refused`, async (t) => {
    t.equal(fault(replaceLine(field, `${field}: ${value}\n`)), `${field}: ${reason}`)
  })
}

t.test('a content address that cannot be read is refused, and an empty one is none', async (t) => {
  for (const value of ['x', 'fixed:', 'text:sha1:143xibwh31h9bvxzalr0sjvbbvpa6ffs', 'fixed:r']) {
    t.equal(fault(`${topNarinfo}CA: ${value}\n`), 'CA: not a content address')
  }
  t.equal(accepted(`${topNarinfo}CA: \n`).ca, null)
})

t.test('a second content address is refused', async (t) => {
  const ca = 'CA: fixed:md5:5f5xlyn9r2mrh3hi6ymik5cmg2\n'
  t.equal(fault(topNarinfo + ca + ca), 'CA: given twice')
  t.equal(fault(`${topNarinfo}CA: \n${ca}`), 'ok', 'an empty one does not count')
})

t.test(
  'references after references are refused, after an empty line of them they count',
  async (t) => {
    const references = 'References: svw61j7fc3kqj6w3d64fza76j7cnhwhm-dep\n'
    t.equal(fault(topNarinfo + references), 'References: given twice')
    t.equal(fault(`${topNarinfo}References: \n`), 'References: given twice')
    const emptyFirst = replaceLine('References', `References: \n${references}`)
    t.equal(accepted(emptyFirst).references.length, 1)
  },
)

t.test('of other fields that are given twice the last counts', async (t) => {
  const doubled = accepted(
    `${topNarinfo}URL: b\nCompression: zstd\nNarSize: 7\nFileSize: 8\nDeriver: unknown-deriver\n`,
  )
  t.match(doubled, { url: 'b', compression: 'zstd', narSize: 7n, fileSize: 8n, deriver: null })
  t.equal(fault(`${topNarinfo}NarSize: x\n`), `NarSize: ${size}`, 'each must be well-formed')
})

t.test('fields may come in any order', async (t) => {
  const lines = topNarinfo.trimEnd().split('\n')
  const reversed = `${lines.toReversed().join('\n')}\n`
  t.equal(formatNarinfo(accepted(reversed), storeDir), topNarinfo)
})

t.test('fields that we do not know are kept and written last', async (t) => {
  const narinfo = accepted(`X-Later: a: b \n: \nconstructor: 1\n${topNarinfo}System: x86\n`)
  const unknown = [
    ['X-Later', 'a: b '],
    ['', ''],
    ['constructor', '1'],
    ['System', 'x86'],
  ]
  t.same(narinfo.unknownFields, unknown)
  const written = formatNarinfo(narinfo, storeDir)
  t.equal(written, `${topNarinfo}X-Later: a: b \n: \nconstructor: 1\nSystem: x86\n`)
  t.same(accepted(written), narinfo)
})

t.test('a malformed signature is set aside and never written again', async (t) => {
  const narinfo = accepted(`${topNarinfo}Sig: \nSig: lab.test-1:AAAA\nSig: x\n`)
  t.equal(narinfo.signatures.length, 1)
  t.same(narinfo.malformedSignatures, ['', 'lab.test-1:AAAA', 'x'])
  t.equal(formatNarinfo(narinfo, storeDir), topNarinfo)
})

t.test('signatures accumulate in order, up to a limit', async (t) => {
  const line = must(/^Sig: .*\n/m.exec(topNarinfo))[0]
  const other = line.replace('lab.test-1', 'other-1')
  const names = accepted(topNarinfo + other + line).signatures.map(({ keyName }) => keyName)
  t.same(names, ['lab.test-1', 'other-1', 'lab.test-1'])
  t.equal(fault(topNarinfo + other.repeat(maxSignatures - 1)), 'ok')
  t.equal(
    fault(topNarinfo + 'Sig: x\n'.repeat(maxSignatures)),
    `Sig: more than ${maxSignatures} signatures`,
  )
})

t.test('an unknown deriver is none', async (t) => {
  t.equal(accepted(replaceLine('Deriver', 'Deriver: unknown-deriver\n')).deriver, null)
})

t.test('a file size of 0 is unknown, and the largest sizes are exact', async (t) => {
  t.equal(accepted(replaceLine('FileSize', 'FileSize: 0\n')).fileSize, null)
  const largest = accepted(replaceLine('NarSize', 'NarSize: 18446744073709551615\n'))
  t.equal(largest.narSize, 2n ** 64n - 1n)
})

t.test('a NAR hash in any form signs the same', async (t) => {
  const { bytes } = must(parseHash(formatHash(accepted(topNarinfo).narHash)))
  const forms = [
    `sha256:${Buffer.from(bytes).toString('hex')}`,
    `sha256:${Buffer.from(bytes).toString('base64')}`,
    `sha256-${Buffer.from(bytes).toString('base64')}`,
  ]
  for (const form of forms) t.ok(isSigned(accepted(replaceLine('NarHash', `NarHash: ${form}\n`))))
})

t.test('twenty thousand references are read', async (t) => {
  const references = `References: ${`${hash}-a `.repeat(maxReferences)}\n`
  t.equal(accepted(replaceLine('References', references)).references.length, maxReferences)
})

t.test('a narinfo of another store is refused', async (t) => {
  const gnu = must(parseStoreDir('/gnu/store'))
  t.match(parseNarinfo(Buffer.from(topNarinfo), gnu), { kind: 'malformed', field: 'StorePath' })
})

t.test(
  'a change of any byte is malformed, breaks the signature or touches what is unsigned',
  async (t) => {
    const bytes = Buffer.from(topNarinfo)
    const original = accepted(bytes)
    const signed = fingerprint(original, storeDir)
    for (let i = 0; i < bytes.length; i++) {
      for (const value of [0, 0x0a, 0x20, 0x30, 0x3a, 0x7a, 0xff, (bytes[i] ?? 0) ^ 1]) {
        if (bytes[i] === value) continue
        const mutated = Buffer.from(bytes)
        mutated[i] = value
        const parsed = read(mutated)
        if (parsed.kind === 'malformed' || !isSigned(parsed.narinfo)) continue
        if (fingerprint(parsed.narinfo, storeDir) !== signed) t.fail(`byte ${i} to ${value}`)
      }
    }
  },
)

t.test('no bytes make the parser throw', async () => {
  const pieces = fc.array(
    fc.oneof(
      fc.constantFrom('StorePath: ', 'References: ', 'CA: ', 'Sig: ', 'NarSize: ', '\n', ':', ' '),
      fc.constantFrom(...topNarinfo.split(/(?<=\n)/)),
      fc.string({ unit: 'binary', maxLength: 12 }),
    ),
    { maxLength: 20 },
  )
  fc.assert(
    fc.property(pieces, (texts) => ['ok', 'malformed'].includes(read(texts.join('')).kind)),
    { seed, numRuns: 250 },
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => read(bytes).kind === 'malformed'),
    { seed },
  )
})

t.test('every narinfo that is written is read as the same', async () => {
  const base = accepted(topNarinfo)
  const optional = <Value>(value: Value) => fc.constantFrom(value, null)
  const generated: fc.Arbitrary<Narinfo> = fc.record(
    {
      storePath: fc.constant(base.storePath),
      url: fc
        .string({ unit: 'grapheme', minLength: 1, maxLength: 60 })
        .filter((s) => !/\p{Cc}/u.test(s)),
      compression: fc.constantFrom('none', 'xz', 'zstd', 'bzip2'),
      fileHash: optional(must(parseHash('md5:3y8bwfr609h3lh9ch0izcqq7fl'))),
      fileSize: fc.option(fc.bigInt({ min: 1n, max: 2n ** 64n - 1n })),
      narHash: fc.constant(base.narHash),
      narSize: fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }),
      references: fc.subarray([...base.references]),
      deriver: optional(base.deriver),
      signatures: fc.array(fc.constantFrom(...base.signatures), { maxLength: 5 }),
      malformedSignatures: fc.constant([]),
      ca: optional(accepted(narinfos.textNarinfo).ca),
      unknownFields: fc.array(fc.constantFrom(['X', 'y'] as const, ['', ' : '] as const)),
    },
    { noNullPrototype: true },
  )
  fc.assert(
    fc.property(generated, (narinfo) => {
      deepEqual(accepted(formatNarinfo(narinfo, storeDir)), narinfo)
    }),
    { seed },
  )
})
