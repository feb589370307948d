import { equal, ok } from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import fc from 'fast-check'
import t from 'tap'
import {
  type DrvOutput,
  drvOutputFile,
  outputPathName,
  parseDrvOutput,
  parseDrvOutputFile,
} from '../../src/nix/drv-output.ts'
import {
  maxDependents,
  maxRealisationSignatures,
  parseRealisation,
} from '../../src/nix/parse-realisation.ts'
import {
  formatRealisation,
  maxRealisationBytes,
  type Realisation,
  realisationFingerprint,
} from '../../src/nix/realisation.ts'
import {
  formatSignature,
  generateSecretKey,
  parsePublicKey,
  parseSignature,
  publicKeyOf,
  sign,
  verifySignature,
} from '../../src/nix/signature.ts'
import { must, path } from './fixtures.ts'
import {
  depId,
  depRealisation,
  realisationKey,
  topId,
  topRealisation,
} from './realisation-fixtures.ts'

const seed = 20260801
const key = must(parsePublicKey(realisationKey))
const dep = must(parseDrvOutput(depId))
const top = must(parseDrvOutput(topId))
const drvName = '05fkk8iijk1kq5cpqwnfcnh5yks8nj4m-hello-2.12.drv'
const byPath = must(parseDrvOutputFile(`build-trace-v2/${drvName}/out.doi`))

const read = (text: string | Uint8Array, asked: DrvOutput = top) =>
  parseRealisation(Buffer.from(text), asked)

function mustRead(text: string | Uint8Array, asked: DrvOutput = top): Realisation {
  const parsed = read(text, asked)
  if (parsed.kind !== 'ok') throw new Error(parsed.reason)
  return parsed.realisation
}

const isSigned = (realisation: Realisation): boolean => {
  const message = realisationFingerprint(realisation)
  return realisation.signatures.some((signature) => verifySignature(key, message, signature))
}

/* What Nix writes. */

for (const [what, text, output] of [
  ['without dependents', depRealisation, dep],
  ['with a dependent', topRealisation, top],
] as const) {
  t.test(`a realisation of Nix 2.8 ${what} is signed over its fingerprint`, async (t) => {
    const realisation = mustRead(text, output)
    t.equal(realisation.output.id, output.id)
    t.ok(isSigned(realisation))
  })

  t.test(`a realisation of Nix 2.8 ${what} comes back byte by byte`, async (t) => {
    t.equal(formatRealisation(mustRead(text, output)), text)
  })
}

t.test('the dependents are part of what is signed, even where there are none', async (t) => {
  t.equal(
    realisationFingerprint(mustRead(depRealisation)),
    `{"dependentRealisations":{},"id":"${depId}","outPath":"83zpvg29y7v8zq6qhg0z635q7w2lhs1k-realised-dep-1.0"}`,
  )
  t.notOk(isSigned({ ...mustRead(topRealisation), dependents: [] }))
  t.notOk(
    isSigned({
      ...mustRead(topRealisation),
      dependents: [{ output: dep, outPath: path('83zpvg29y7v8zq6qhg0z635q7w2lhs1k-evil') }],
    }),
  )
})

t.test('a build trace is signed over its derivation, output and path', async (t) => {
  // The key, names and signature of Nix's own test of it (src/libstore-tests, data/realisation/simple-sig.json).
  const base = 'g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q'
  const asked = must(parseDrvOutputFile(`build-trace-v2/${base}-bar.drv/foo.doi`))
  const message = realisationFingerprint({
    output: asked,
    outPath: path(`${base}-foo`),
    dependents: [],
  })
  t.equal(
    message,
    `{"key":{"drvPath":"${base}-bar.drv","outputName":"foo"},"value":{"outPath":"${base}-foo"}}`,
  )
  const nixKey = must(parsePublicKey('test-key:rAWTx0noOtf7tqHO5iDnsH7gGNVdQYl99oaJk2gydic='))
  const signature =
    'test-key:WsjxK4/EI74COtzMDI+VCjQU9O4FydK0+YeY1CE5hUevogd+T+CPvNXza7oog3GTMS+ZlBwsC2S3ppwusKnJDg=='
  t.ok(verifySignature(nixKey, message, must(parseSignature(signature))))
})

t.test('a build trace is written as Nix 2.35 writes it, and read in both forms', async (t) => {
  const sig = formatSignature(sign(generateSecretKey('a-1'), 'x'))
  const [keyName, base64] = sig.split(':')
  const outPath = '05fkk8iijk1kq5cpqwnfcnh5yks8nj4m-hello-2.12'
  const text = JSON.stringify({ outPath, signatures: [{ keyName, sig: base64 }] })
  t.equal(formatRealisation(mustRead(text, byPath)), text)
  const unstructured = JSON.stringify({ outPath, signatures: [sig] })
  t.equal(formatRealisation(mustRead(unstructured, byPath)), text)
})

/* Whatever else. */

t.test('a changed bit of what Nix wrote never verifies with other content', async () => {
  const original = Buffer.from(topRealisation)
  const content = realisationFingerprint(mustRead(original))
  for (let at = 0; at < original.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const changed = Buffer.from(original)
      changed[at] = must(changed[at]) ^ (1 << bit)
      const parsed = read(changed)
      if (parsed.kind === 'malformed' || !isSigned(parsed.realisation)) continue
      equal(realisationFingerprint(parsed.realisation), content, `bit ${bit} of byte ${at}`)
    }
  }
})

t.test('any realisation comes back from its text', async () => {
  const hex = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes))
  const name = fc.stringMatching(/^[0-9a-zA-Z+_=-]{1,20}$/)
  const outPath = name.map((name) => path(`05fkk8iijk1kq5cpqwnfcnh5yks8nj4m-${name}`))
  const byHash = fc
    .tuple(hex, name)
    .map(([hash, name]) => must(parseDrvOutput(`sha256:${hash.toString('hex')}!${name}`)))
  const mapping = fc.record({ output: byHash, outPath })
  const signature = fc.record({
    keyName: fc.stringMatching(/^["\\a-z.-]{1,9}$/),
    bytes: fc.uint8Array({ minLength: 64, maxLength: 64 }),
  })
  const signatures = fc.array(signature, { maxLength: 5 })
  const dependents = fc.uniqueArray(mapping, {
    maxLength: 5,
    selector: ({ output }) => output.id,
  })
  const any = fc.oneof(
    fc.record({ output: byHash, outPath, signatures, dependents }),
    fc.record({
      output: fc.constant(byPath),
      outPath,
      signatures,
      dependents: fc.constant([]),
    }),
  )
  fc.assert(
    fc.property(any, (realisation) => {
      const text = formatRealisation(realisation)
      const again = mustRead(text, realisation.output)
      equal(formatRealisation(again), text)
      equal(realisationFingerprint(again), realisationFingerprint(realisation))
    }),
    { seed },
  )
})

t.test('the fingerprint does not depend on the order of the dependents', async (t) => {
  const realisation = mustRead(topRealisation)
  const dependents = [...realisation.dependents, { output: top, outPath: realisation.outPath }]
  const message = realisationFingerprint({ ...realisation, dependents })
  t.equal(realisationFingerprint({ ...realisation, dependents: dependents.toReversed() }), message)
  t.ok(message.indexOf(topId) < message.indexOf(depId), '6… before f…')
})

t.test('what Nix passes over is passed over, and not handed on', async (t) => {
  const fields = JSON.parse(topRealisation) as Record<string, unknown>
  const more = { evil: 'x', ...fields, ['__proto__']: { outPath: 'x' }, constructor: 1 }
  t.equal(formatRealisation(mustRead(` ${JSON.stringify(more, null, 2)}\n`)), topRealisation)
})

t.test('a signature that is not well-formed is set aside', async (t) => {
  const fields = JSON.parse(topRealisation) as { signatures: unknown[] }
  const odd = ['', 'x', 'a:b', 7, null, [], {}, { keyName: 'a' }, { keyName: 'a', sig: 'b' }]
  const text = JSON.stringify({ ...fields, signatures: [...odd, ...fields.signatures] })
  t.equal(formatRealisation(mustRead(text)), topRealisation)
})

t.test('signatures and dependents may be missing', async (t) => {
  const text = JSON.stringify({ id: depId, outPath: mustRead(depRealisation).outPath.baseName })
  t.strictSame(mustRead(text).signatures, [])
  t.strictSame(mustRead(text).dependents, [])
})

const base = '83zpvg29y7v8zq6qhg0z635q7w2lhs1k-realised-dep-1.0'
const ids = (count: number) =>
  Array.from({ length: count }, (_, index) => [
    `sha256:${index.toString(16).padStart(64, '0')}!o`,
    '05fkk8iijk1kq5cpqwnfcnh5yks8nj4m-x',
  ])
const malformed: readonly (readonly [string, string | null, string | object])[] = [
  ['empty', null, ''],
  ['a web page', null, '<!doctype html>'],
  ['no object', null, '[]'],
  ['null', null, 'null'],
  ['a string', null, '"x"'],
  ['cut', null, topRealisation.slice(0, -1)],
  ['with a tail', null, `${topRealisation}x`],
  ['with a byte order mark', null, `\uFEFF${topRealisation}`],
  ['nested without end', null, '['.repeat(60_000)],
  ['oversize', null, topRealisation.padEnd(maxRealisationBytes + 1)],
  ['without a path', 'outPath', { id: depId }],
  ['with a full path', 'outPath', { id: depId, outPath: `/nix/store/${base}` }],
  ['with a path that leaves the store', 'outPath', { id: depId, outPath: `../${base}` }],
  ['without an id', 'id', { outPath: base }],
  ['with a number for an id', 'id', { id: 7, outPath: base }],
  ['with a short id', 'id', { id: 'sha256:0!out', outPath: base }],
  ['with a sha512 id', 'id', { id: `sha512:${'0'.repeat(128)}!out`, outPath: base }],
  ['with an upper-case id', 'id', { id: depId.toUpperCase(), outPath: base }],
  ['with an odd output', 'id', { id: `${depId}/..`, outPath: base }],
  ['with one signature for a list', 'signatures', { id: depId, outPath: base, signatures: 'x' }],
  [
    'with too many signatures',
    'signatures',
    { id: depId, outPath: base, signatures: Array(maxRealisationSignatures + 1).fill('') },
  ],
  [
    'with a list of dependents',
    'dependentRealisations',
    { id: depId, outPath: base, dependentRealisations: [] },
  ],
  [
    'with a dependent that is no output',
    'dependentRealisations',
    { id: depId, outPath: base, dependentRealisations: { x: base } },
  ],
  [
    'with a dependent that is no path',
    'dependentRealisations',
    { id: depId, outPath: base, dependentRealisations: { [depId]: 'x' } },
  ],
  [
    'with the keyed form for a value',
    'outPath',
    { key: { drvPath: drvName, outputName: 'out' }, value: { outPath: base } },
  ],
]
for (const [what, field, content] of malformed) {
  t.test(`a realisation ${what} is malformed`, async (t) => {
    const parsed = read(typeof content === 'string' ? content : JSON.stringify(content))
    t.equal(parsed.kind === 'malformed' ? parsed.field : 'none', field)
  })
}

t.test('a realisation that is not UTF-8 is malformed', async (t) => {
  const bytes = Buffer.from(topRealisation.replace('"outPath"', '"x":"\xff","outPath"'), 'latin1')
  t.equal(read(bytes).kind, 'malformed')
})

t.test('as many dependents as are allowed are read, and one more is not', async (t) => {
  const withDependents = (count: number) => {
    const text = JSON.stringify({
      id: depId,
      outPath: base,
      dependentRealisations: Object.fromEntries(ids(count)) as unknown,
    })
    return read(text)
  }
  t.ok(JSON.stringify(ids(maxDependents)).length < maxRealisationBytes)
  t.equal(withDependents(maxDependents).kind, 'ok')
  t.equal(withDependents(maxDependents + 1).kind, 'malformed')
})

t.test('whatever the bytes, reading them does not throw', async () => {
  const value = fc.jsonValue({ maxDepth: 3 })
  const anything = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    value.map((value) => Buffer.from(JSON.stringify(value))),
    fc
      .record({
        id: fc.oneof(fc.constant(depId), value),
        outPath: fc.oneof(fc.constant(base), value),
        signatures: value,
        dependentRealisations: value,
      })
      .map((fields) => Buffer.from(JSON.stringify(fields))),
  )
  fc.assert(
    fc.property(anything, (bytes) => {
      const parsed = read(bytes)
      ok(parsed.kind === 'malformed' || parsed.realisation.outPath.baseName.length > 33)
    }),
    { seed, numRuns: 1000 },
  )
})

/* Outputs and their files. */

t.test('an output has one file, and a file one output', async (t) => {
  for (const file of [
    `realisations/${depId}.doi`,
    `realisations/${depId.replace('!out', '!lib-x.1')}.doi`,
    `build-trace-v2/${drvName}/out.doi`,
    `build-trace-v2/${drvName}/..doi`,
  ]) {
    t.equal(drvOutputFile(must(parseDrvOutputFile(file))), file)
  }
  t.equal(must(parseDrvOutputFile(`build-trace-v2/${drvName}/out.doi`)).id, `${drvName}^out`)
})

t.test('other files are no realisations', async (t) => {
  for (const file of [
    '',
    'realisations/.doi',
    `realisations/${depId}`,
    `realisations/${depId}.DOI`,
    `realisations/${depId}/.doi`,
    `realisations/../${depId}.doi`,
    `realisations/${depId}\n.doi`,
    `realisations/${depId}?.doi`,
    `realisations/${depId.slice(0, -4)}.doi`,
    `realisations/${depId.slice(0, -3)}.doi`,
    `realisations/${drvName}/out.doi`,
    `build-trace-v2/${depId}.doi`,
    `build-trace-v2/${drvName}.doi`,
    `build-trace-v2/${drvName}/.doi`,
    `build-trace-v2/${drvName}/out/x.doi`,
    `build-trace-v2/${drvName}/a?b.doi`,
    `build-trace-v2/${drvName.replace('hello', 'he?lo')}/out.doi`,
    `build-trace-v2/${drvName.replace('.drv', '')}/out.doi`,
    `build-trace-v2/${drvName.slice(1)}/out.doi`,
    `build-trace/${drvName}/out.doi`,
    `/build-trace-v2/${drvName}/out.doi`,
  ]) {
    t.equal(parseDrvOutputFile(file), null, file)
  }
})

t.test('the name of an output is known where its derivation is', async (t) => {
  const nameOf = (output: string) =>
    outputPathName(must(parseDrvOutputFile(`build-trace-v2/${drvName}/${output}.doi`)))
  t.equal(nameOf('out'), 'hello-2.12')
  t.equal(nameOf('dev'), 'hello-2.12-dev')
  t.equal(outputPathName(dep), null)
})

t.test('a signature by another key over the same is another signature', async (t) => {
  const stranger = generateSecretKey('ca.test-1')
  const realisation = mustRead(topRealisation)
  const forged = sign(stranger, realisationFingerprint(realisation))
  t.notOk(isSigned({ ...realisation, signatures: [forged] }))
  t.ok(verifySignature(publicKeyOf(stranger), realisationFingerprint(realisation), forged))
})
