import { deepEqual, equal } from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { parseContentAddress } from '../../src/nix/content-address.ts'
import { type Hash, formatHash, hashEquals } from '../../src/nix/hash.ts'
import { createContentHasher, supportsContentHash } from '../../src/nix/nar-content-hash.ts'
import { NarError, type NarHandler, createNarParser } from '../../src/nix/nar.ts'
import { type ListingNode, lookUp, parseNarListing } from '../../src/nix/listing-lookup.ts'
import { createNarLister, type ListingLimits, NarListingError } from '../../src/nix/nar-listing.ts'
import { must, pathHash, selfNar, treeNar } from './fixtures.ts'
import {
  type Tree,
  narString,
  narStrings,
  sortEntries,
  writeEntry,
  writeNar,
  writeNode,
} from './tree.ts'

const seed = 20260730

/** A NAR in pieces whose sizes are taken from the list in turn. */
function* chunksOf(nar: Uint8Array, sizes: readonly number[]) {
  for (let at = 0, i = 0; at < nar.length; i++) {
    const size = Math.max(1, sizes[i % sizes.length] ?? nar.length)
    yield nar.subarray(at, at + size)
    at += size
  }
}

function parse(nar: Uint8Array, handler: NarHandler = {}, sizes: readonly number[] = []): void {
  const parser = createNarParser(handler)
  for (const chunk of chunksOf(nar, sizes)) parser.write(chunk)
  parser.end()
}

/** The code of the error with which a NAR is refused, or null; the same however it is cut. */
function fault(nar: Uint8Array): string | null {
  const codes = [[], [1], [7, 8, 9]].map((sizes) => {
    try {
      parse(nar, {}, sizes)
      return null
    } catch (error) {
      if (!(error instanceof NarError)) throw error
      return error.code
    }
  })
  if (new Set(codes).size !== 1) throw new Error(`depends on the chunks: ${codes.join()}`)
  return codes[0] ?? null
}

/** The tree that a parser tells of; checks offsets and sizes against the NAR itself. */
function readTree(nar: Uint8Array, sizes: readonly number[]): Tree {
  const open: [string, Tree][][] = [[]]
  let parts: Uint8Array[] = []
  let file = { executable: false, size: 0, offset: 0 }
  const names: string[] = ['root']
  const add = (node: Tree) => must(open.at(-1)).push([must(names.pop()), node])
  const handler: NarHandler = {
    directory: () => open.push([]),
    entry: (name) => names.push(name),
    leaveDirectory: () => {
      const entries = must(open.pop())
      add({ type: 'directory', entries })
    },
    file: (begun) => {
      file = begun
      parts = []
    },
    contents: (chunk) => parts.push(chunk.slice()),
    endFile: () => {
      const contents = new Uint8Array(Buffer.concat(parts))
      equal(contents.length, file.size)
      deepEqual(new Uint8Array(nar.subarray(file.offset, file.offset + file.size)), contents)
      add({ type: 'regular', contents, executable: file.executable })
    },
    symlink: (target) => add({ type: 'symlink', target }),
  }
  parse(nar, handler, sizes)
  return must(open[0]?.[0])[1]
}

function sorted(tree: Tree): Tree {
  if (tree.type !== 'directory') return tree
  const entries = sortEntries(tree.entries).map(([name, node]) => [name, sorted(node)] as const)
  return { type: 'directory', entries }
}

const file = (text: string, executable = 'no'): Tree => ({
  type: 'regular',
  contents: new Uint8Array(Buffer.from(text)),
  executable: executable === 'executable',
})
const directory = (...entries: [string, Tree][]): Tree => ({ type: 'directory', entries })
const magic = narString('nix-archive-1')
const inNar = (...values: readonly (string | Uint8Array)[]) =>
  Buffer.concat([magic, narStrings(...values)])

const { tree: anyTree } = fc.letrec<{ tree: Tree }>((tie) => ({
  tree: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.record(
      {
        type: fc.constant('regular' as const),
        contents: fc.uint8Array({ maxLength: 40 }),
        executable: fc.boolean(),
      },
      { noNullPrototype: true },
    ),
    fc.record(
      {
        type: fc.constant('symlink' as const),
        target: fc.constantFrom('a', '../x', '/nix/store/é', 'x'.repeat(4095)),
      },
      { noNullPrototype: true },
    ),
    fc.record(
      {
        type: fc.constant('directory' as const),
        entries: fc.uniqueArray(
          fc.tuple(fc.constantFrom('a', 'b.c', 'B', 'é', 'ﬀ', '😀', ' '), tie('tree')),
          {
            maxLength: 5,
            selector: ([name]) => name,
          },
        ),
      },
      { noNullPrototype: true },
    ),
  ),
}))

t.test('the NAR that Nix wrote is read as it was listed', async (t) => {
  const events: unknown[] = []
  parse(treeNar, {
    directory: () => events.push('directory'),
    entry: (name) => events.push(name),
    leaveDirectory: () => events.push('leave'),
    file: ({ executable, size, offset }) => events.push([executable, size, offset]),
    contents: (chunk) => events.push(Buffer.from(chunk).toString()),
    endFile: () => events.push('end'),
    symlink: (target) => events.push(`to ${target}`),
  })
  // Offsets and sizes as in the .ls that Nix wrote beside it.
  const run = ['run.sh', [true, 18, 640], '#!/bin/sh\necho hi\n', 'end']
  const sub = ['sub', 'directory', 'x', [false, 2, 984], 'x\n', 'end', 'leave']
  const empty = ['empty', [false, 0, 232], 'end']
  t.same(events, ['directory', ...empty, 'link', 'to run.sh', ...run, ...sub, 'leave'])
})

t.test('every tree is read as it was written, however the bytes are cut', async () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(anyTree, sizes, (tree, sizes) => {
      deepEqual(readTree(writeNar(tree), sizes), sorted(tree))
    }),
    { seed, numRuns: 150 },
  )
})

t.test('a NAR is read byte by byte, with empty chunks in between', async (t) => {
  t.same(readTree(treeNar, [1]), readTree(treeNar, []))
  const parser = createNarParser({})
  for (const byte of treeNar) {
    parser.write(new Uint8Array(0))
    parser.write(Uint8Array.of(byte))
  }
  t.doesNotThrow(parser.end)
})

t.test('contents are views of the chunks that were written', async (t) => {
  const nar = writeNar(file('x'.repeat(100)))
  let seen = 0
  const contents = (chunk: Uint8Array) => {
    seen += chunk.length
    t.equal(chunk.buffer, nar.buffer)
  }
  parse(nar, { contents }, [50])
  t.equal(seen, 100)
})

t.test('a NAR that is cut off anywhere is truncated, and no longer one is accepted', async (t) => {
  for (let length = 0; length < selfNar.length; length++) {
    if (fault(selfNar.subarray(0, length)) !== 'truncated') t.fail(`${length} bytes`)
  }
  t.equal(fault(selfNar), null)
})

t.test('anything after the root node is refused', async (t) => {
  for (const more of [Uint8Array.of(0), new Uint8Array(8), magic, selfNar]) {
    t.equal(fault(Buffer.concat([selfNar, more])), 'trailing-bytes')
  }
})

t.test('a change of any bit that is not content, name or target is refused', async (t) => {
  const nar = writeNar(directory(['a', file('12345678')], ['b', { type: 'symlink', target: 'c' }]))
  const free = (text: string) => nar.indexOf(narString(text)) + 8
  const ranges = [free('a'), free('b'), free('c')].map((at) => [at, at + 1] as const)
  ranges.push([free('12345678'), free('12345678') + 8])
  for (let bit = 0; bit < nar.length * 8; bit++) {
    const at = bit >> 3
    if (ranges.some(([start, end]) => at >= start && at < end)) continue
    const mutated = Buffer.from(nar)
    mutated[at] = (mutated[at] ?? 0) ^ (1 << (bit & 7))
    if (fault(mutated) === null) t.fail(`bit ${bit & 7} of byte ${at}`)
  }
})

const plain = writeNode(file('x'))
const refused: readonly (readonly [string, Uint8Array, string])[] = [
  ['another magic', narString('nix-archive-2'), 'not-a-nar'],
  ['a longer magic', narString('nix-archive-10'), 'not-a-nar'],
  ['an xz file', Buffer.from('fd377a585a0000046922de3600000000', 'hex'), 'not-a-nar'],
  ['a node without type', inNar('(', ')'), 'unexpected-token'],
  ['an unknown type', inNar('(', 'type', 'fifo'), 'unexpected-token'],
  ['a second type', inNar('(', 'type', 'directory', 'type'), 'unexpected-token'],
  ['a file without contents', inNar('(', 'type', 'regular', ')'), 'unexpected-token'],
  [
    'a second contents',
    inNar('(', 'type', 'regular', 'contents', 'x', 'contents'),
    'unexpected-token',
  ],
  [
    'a mark that is not empty',
    inNar('(', 'type', 'regular', 'executable', 'x'),
    'unexpected-token',
  ],
  [
    'a mark after the contents',
    inNar('(', 'type', 'regular', 'contents', 'x', 'executable'),
    'unexpected-token',
  ],
  ['an executable symlink', inNar('(', 'type', 'symlink', 'executable'), 'unexpected-token'],
  ['a symlink without target', inNar('(', 'type', 'symlink', ')'), 'unexpected-token'],
  ['an empty target', inNar('(', 'type', 'symlink', 'target', '', ')'), 'bad-target'],
  [
    'a target that is too long',
    inNar('(', 'type', 'symlink', 'target', 'x'.repeat(4096), ')'),
    'bad-target',
  ],
  ['a target with a NUL', inNar('(', 'type', 'symlink', 'target', 'a\0', ')'), 'bad-target'],
  [
    'an entry without name',
    inNar('(', 'type', 'directory', 'entry', '(', 'node'),
    'unexpected-token',
  ],
  [
    'an entry without node',
    inNar('(', 'type', 'directory', 'entry', '(', 'name', 'a', ')'),
    'unexpected-token',
  ],
  ['a word that is too long', inNar('('.repeat(100)), 'unexpected-token'],
  [
    'a file beyond 2⁵³',
    Buffer.concat([
      inNar('(', 'type', 'regular', 'contents'),
      Buffer.from('0000000000002000', 'hex'),
    ]),
    'too-large',
  ],
  ['the largest length', Buffer.alloc(8, 255), 'not-a-nar'],
]
for (const [what, nar, code] of refused) {
  t.test(`a NAR with ${what} is refused`, async (t) => {
    t.equal(fault(nar), code)
  })
}

const withEntries = (...entries: readonly Uint8Array[]) =>
  Buffer.concat([inNar('(', 'type', 'directory'), ...entries, narStrings(')')])

t.test('a name that could leave its directory is refused', async (t) => {
  for (const name of ['', '.', '..', '/', 'a/b', '../a', 'a\0', '\0', 'a'.repeat(256)]) {
    t.equal(fault(withEntries(writeEntry(name, plain))), 'bad-name', JSON.stringify(name))
  }
  for (const name of ['...', '.a', '..a', 'a'.repeat(255), ' ']) {
    t.equal(fault(withEntries(writeEntry(name, plain))), null, name)
  }
})

t.test('names that do not increase bytewise are refused', async (t) => {
  const pair = (a: string | Uint8Array, b: string | Uint8Array) =>
    fault(withEntries(writeEntry(a, plain), writeEntry(b, plain)))
  t.equal(pair('a', 'a'), 'names-out-of-order')
  t.equal(pair('b', 'a'), 'names-out-of-order')
  t.equal(pair('aa', 'a'), 'names-out-of-order')
  t.equal(pair('a', 'B'), 'names-out-of-order')
  t.equal(pair('a', 'aa'), null)
  // In UTF-16 the surrogates of the emoji would come first.
  t.equal(pair('ﬀ', '😀'), null)
  t.equal(pair('😀', 'ﬀ'), 'names-out-of-order')
  // Both names read as U+FFFD, but are different bytes.
  t.equal(pair(Uint8Array.of(0xfe), Uint8Array.of(0xff)), null)
  t.equal(pair(Uint8Array.of(0xff), Uint8Array.of(0xfe)), 'names-out-of-order')
})

t.test('order is judged for each directory alone', async (t) => {
  t.equal(
    fault(
      writeNar(directory(['b', directory(['z', file('')])], ['c', directory(['a', file('')])])),
    ),
    null,
  )
})

t.test('the raw name of an entry is told beside its text', async (t) => {
  const seen: unknown[] = []
  const nar = withEntries(writeEntry(Uint8Array.of(0x61, 0xff), plain))
  parse(nar, { entry: (name, raw) => seen.push(name, [...raw]) }, [1])
  t.same(seen, ['a\ufffd', [0x61, 0xff]])
})

t.test('a node at depth 64 is refused, at depth 63 it is not', async (t) => {
  const nested = (depth: number): Tree =>
    depth === 0 ? file('x') : directory(['a', nested(depth - 1)])
  t.equal(fault(writeNar(nested(63))), null)
  t.equal(fault(writeNar(nested(64))), 'too-deep')
  t.equal(fault(writeNar(nested(500))), 'too-deep')
})

t.test('padding that is not zero is refused, in words and in contents', async (t) => {
  const nar = writeNar(file('abc'))
  const word = nar.indexOf(narString('type')) + 8 + 4
  const contents = nar.indexOf(narString('abc')) + 8 + 3
  for (const at of [word, word + 3, contents, contents + 4]) {
    const mutated = Buffer.from(nar)
    mutated[at] = 1
    t.equal(fault(mutated), 'bad-padding')
  }
})

t.test('a parser that has failed never accepts anything again', async (t) => {
  const parser = createNarParser({})
  t.throws(
    () => {
      parser.write(narString('x'))
    },
    { code: 'not-a-nar' },
  )
  t.throws(
    () => {
      parser.write(selfNar)
    },
    { code: 'not-a-nar' },
  )
  t.throws(parser.end, { code: 'not-a-nar' })
})

const ownHash = pathHash('gszi1nxgyf69xnd84jqyry5yjhqfmnfr')
const ca = (text: string) => must(parseContentAddress(text))
const selfAddress = ca('fixed:r:sha256:18nrsqhkazc4vfyn8gn0kw60psmf29197n1hf96afkpyqyha06bx')
const helloAddress = ca(
  'fixed:sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824',
)

function contentHash(
  nar: Uint8Array,
  address: typeof selfAddress,
  sizes: readonly number[],
): Hash | null {
  const hasher = createContentHasher(address, ownHash)
  for (const chunk of chunksOf(nar, sizes)) hasher.update(chunk.slice())
  return hasher.digest()
}

/** The definition, word by word: replace, collect, append. */
function naiveModulo(nar: Uint8Array): string {
  const text = Buffer.from(nar).toString('latin1')
  const positions: number[] = []
  const replaced = text.replaceAll(ownHash, (_match: string, at: number) => {
    positions.push(at)
    return '\0'.repeat(32)
  })
  const suffix = positions.map((position) => `|${position}`).join('')
  return createHash('sha256')
    .update(replaced + suffix, 'latin1')
    .digest('hex')
}

t.test(
  'a path that contains itself hashes to what Nix wrote, however the bytes are cut',
  async (t) => {
    for (let size = 1; size <= selfNar.length; size++) {
      const hash = contentHash(selfNar, selfAddress, [size])
      if (hash === null || !hashEquals(hash, selfAddress.hash)) t.fail(`chunks of ${size}`)
    }
  },
)

t.test('a path without itself hashes as its NAR does', async (t) => {
  const address = ca('fixed:r:sha256:16xd5fif5q3wgqbwa1xwzkhi5006nxi1zzxizj20k9v96r7fs30y')
  t.same(contentHash(treeNar, address, [100]), address.hash)
})

t.test(
  'bytes hash modulo their own hash as the definition says, however they are cut',
  async () => {
    const piece = fc.oneof(
      fc.constant(ownHash as string),
      fc.integer({ min: 1, max: 31 }).map((length) => ownHash.slice(0, length)),
      fc.integer({ min: 1, max: 31 }).map((start) => ownHash.slice(start)),
      fc.string({ maxLength: 40 }),
    )
    const sizes = fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 6 })
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), sizes, (pieces, sizes) => {
        const bytes = Buffer.from(pieces.join(''))
        const hash = must(contentHash(bytes, selfAddress, sizes))
        equal(Buffer.from(hash.bytes).toString('hex'), naiveModulo(bytes))
      }),
      { seed, numRuns: 500 },
    )
  },
)

t.test('occurrences of a hash that overlaps itself are counted from the left', async (t) => {
  const zeros = pathHash('0'.repeat(32))
  for (const size of [1, 5, 31, 32, 33, 100]) {
    const hasher = createContentHasher(selfAddress, zeros)
    for (const chunk of chunksOf(Buffer.from('0'.repeat(100)), [size])) hasher.update(chunk)
    const expected = createHash('sha256')
      .update(`${'\0'.repeat(96)}0000|0|32|64`)
      .digest()
    t.same(hasher.digest()?.bytes, new Uint8Array(expected), `chunks of ${size}`)
  }
})

t.test('flat and text hash the bytes of the one file', async (t) => {
  for (const address of [helloAddress, { ...helloAddress, method: 'text' as const }]) {
    for (const sizes of [[], [1], [13]]) {
      t.same(contentHash(writeNar(file('hello')), address, sizes), helloAddress.hash)
    }
  }
  const md5 = ca('fixed:md5:3y8bwfr609h3lh9ch0izcqq7fl')
  t.equal(
    formatHash(must(contentHash(writeNar(file('')), md5, [8]))),
    'md5:3y8bwfr609h3lh9ch0izcqq7fl',
  )
})

t.test('what is not one plain file has no flat content', async (t) => {
  const nars = {
    executable: writeNar(file('hello', 'executable')),
    symlink: writeNar({ type: 'symlink', target: 'hello' }),
    directory: writeNar(directory()),
    'a directory of one file': writeNar(directory(['a', file('hello')])),
    nothing: new Uint8Array(0),
    'the file itself': Buffer.from('hello'),
    'a truncated NAR': writeNar(file('hello')).subarray(0, -1),
    'a NAR with more behind it': Buffer.concat([writeNar(file('hello')), Buffer.alloc(8)]),
  }
  for (const [what, nar] of Object.entries(nars)) {
    t.equal(contentHash(nar, helloAddress, []), null, what)
    t.equal(contentHash(nar, helloAddress, [3]), null, `${what} in pieces`)
  }
})

t.test('git trees are not supported, and say so', async (t) => {
  const git = ca('fixed:git:sha1:143xibwh31h9bvxzalr0sjvbbvpa6ffs')
  t.notOk(supportsContentHash(git))
  t.equal(contentHash(treeNar, git, []), null)
  t.ok(supportsContentHash(helloAddress))
  t.ok(supportsContentHash(selfAddress))
})

/* Listings. */

function list(nar: Uint8Array, sizes: readonly number[] = [], limits?: ListingLimits): Buffer {
  const lister = createNarLister(limits)
  for (const chunk of chunksOf(nar, sizes)) lister.write(chunk)
  return lister.end()
}

/** The tree that a listing speaks of, its contents taken from where it says that they are. */
function treeOf(node: ListingNode, nar: Uint8Array): Tree {
  switch (node.type) {
    case 'regular': {
      const contents = new Uint8Array(nar.subarray(node.narOffset, node.narOffset + node.size))
      return { type: 'regular', contents, executable: node.executable === true }
    }
    case 'symlink':
      return { type: 'symlink', target: node.target }
    case 'directory': {
      const entries = Object.entries(node.entries)
      return sorted(
        directory(...entries.map(([name, child]): [string, Tree] => [name, treeOf(child, nar)])),
      )
    }
  }
}

t.test('the listing of a NAR is the one that Nix wrote beside it', async (t) => {
  t.equal(
    list(treeNar).toString(),
    '{"version":1,"root":{"type":"directory","entries":{"empty":{"type":"regular","size":0,"narOffset":232},' +
      '"link":{"type":"symlink","target":"run.sh"},"run.sh":{"type":"regular","size":18,"executable":true,"narOffset":640},' +
      '"sub":{"type":"directory","entries":{"x":{"type":"regular","size":2,"narOffset":984}}}}}}',
  )
  t.equal(
    list(writeNar({ type: 'symlink', target: '/x"\\\n\u0001\u007f' })).toString(),
    '{"version":1,"root":{"type":"symlink","target":"/x\\"\\\\\\n\\u0001\u007f"}}',
  )
})

t.test('a listing says what every tree has, and where, however the bytes are cut', async () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(anyTree, sizes, (tree, sizes) => {
      const nar = writeNar(tree)
      deepEqual(treeOf(parseNarListing(list(nar, sizes)), nar), sorted(tree))
    }),
    { seed, numRuns: 150 },
  )
})

t.test('a listing is in the NAR’s order, whatever the names', async (t) => {
  const names = ['10', '9', '__proto__', 'constructor', '\ufffd', '\ufeffx']
  const nar = writeNar(directory(...names.map((name): [string, Tree] => [name, file('x')])))
  const text = list(nar).toString()
  t.same(
    [...text.matchAll(/"([^"]*)":\{"type":"regular"/g)].map(([, name]) => name),
    names.toSorted(),
  )
  const root = parseNarListing(Buffer.from(text))
  t.match(root, { type: 'directory' })
  for (const name of names) {
    t.match(lookUp(root, [name], { storePath: '/s/p', last: 'follow' }), { path: [name] }, name)
  }
})

t.test('no part of a NAR has a listing, and no malformed one', async (t) => {
  for (let length = 0; length < treeNar.length; length += 1) {
    t.throws(() => list(treeNar.subarray(0, length)), NarError)
  }
  t.throws(() => list(Buffer.concat([treeNar, Buffer.alloc(8)])), { code: 'trailing-bytes' })
})

t.test('a name or target that is not UTF-8 has no place in a listing', async (t) => {
  const bad = Uint8Array.of(0x62, 0xff)
  const inDirectory = (entry: Uint8Array) =>
    Buffer.concat([inNar('(', 'type', 'directory'), entry, narString(')')])
  const named = inDirectory(writeEntry(bad, writeNode(file('x'))))
  const linked = inNar('(', 'type', 'symlink', 'target', bad, ')')
  for (const nar of [named, linked]) {
    parse(nar)
    t.throws(() => list(nar), { name: 'NarListingError', code: 'not-utf8' })
  }
})

t.test('a listing has its bounds, to the entry and to the byte', async (t) => {
  const nar = writeNar(directory(['a', directory(['é', file('x')])], ['b', file('y')]))
  const bytes = list(nar).length
  t.equal(list(nar, [], { maxEntries: 3, maxBytes: bytes }).length, bytes)
  for (const [limits, code] of [
    [{ maxEntries: 2, maxBytes: bytes }, 'too-many-entries'],
    [{ maxEntries: 3, maxBytes: bytes - 1 }, 'too-large'],
  ] as const) {
    t.throws(
      () => list(nar, [], limits),
      new NarListingError(
        code,
        code === 'too-large'
          ? `its listing is longer than ${bytes - 1} bytes`
          : 'it has more than 2 entries',
      ),
    )
  }
})

t.test('a file is found along the symlinks that stay inside', async (t) => {
  const storePath = '/nix/store/00000000000000000000000000000000-x'
  const link = (target: string): Tree => ({ type: 'symlink', target })
  const root = parseNarListing(
    list(
      writeNar(
        directory(
          ['bin', directory(['x', file('x', 'executable')], ['y', link('x')])],
          ['lib', directory(['deep', directory(['up', link('../../bin/y')])])],
          ['lib64', link('lib')],
          ['abs', link(`${storePath}/bin/./x`)],
          ['other', link('/nix/store/11111111111111111111111111111111-y/bin/x')],
          ['near', link(`${storePath}y/bin/x`)],
          ['out', link('../11111111111111111111111111111111-y')],
          ['loop', link('loop')],
          ['deep', link('lib/deep/../..')],
          ['dangling', link('bin/nothing')],
        ),
      ),
    ),
  )
  const at = (text: string, last: 'follow' | 'stay' = 'follow') => {
    const found = lookUp(root, text.split('/'), { storePath, last })
    const { kind, path } = found
    return [
      kind,
      path.join('/'),
      ...(kind === 'outside' ? [found.target] : []),
      ...(kind === 'missing' ? [found.name] : []),
    ]
  }
  for (const [text, ...expected] of [
    ['', 'found', ''],
    ['bin/x', 'found', 'bin/x'],
    ['./bin//../bin/y', 'found', 'bin/x'],
    ['lib64/deep/up', 'found', 'bin/x'],
    ['abs', 'found', 'bin/x'],
    ['deep/bin', 'found', 'bin'],
    ['other', 'outside', 'other', '/nix/store/11111111111111111111111111111111-y/bin/x'],
    ['near', 'outside', 'near', `${storePath}y/bin/x`],
    ['out', 'outside', 'out', '../11111111111111111111111111111111-y'],
    ['out/bin/x', 'outside', 'out', '../11111111111111111111111111111111-y'],
    ['../bin', 'outside', '', '../bin'],
    ['loop', 'endless', 'loop'],
    ['bin/x/z', 'not-a-directory', 'bin/x'],
    ['lib64/z', 'missing', 'lib', 'z'],
    ['dangling', 'missing', 'bin', 'nothing'],
    ['toString', 'missing', '', 'toString'],
  ] as const) {
    t.same(at(text), expected, text)
  }
  t.same(at('lib64', 'stay'), ['found', 'lib64'], 'shown as it is')
  t.same(at('lib64/deep', 'stay'), ['found', 'lib/deep'], 'but followed on the way')
  const self = (target: string) =>
    lookUp({ type: 'symlink', target }, [], { storePath, last: 'follow' })
  t.match(self('x'), { kind: 'outside', target: 'x' })
  t.match(self(storePath), { kind: 'endless' })
})
