import { join } from 'node:path'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { formatPublicKey, parsePublicKey } from '../../src/nix/signature.ts'
import { parseStoreDir } from '../../src/nix/store-path.ts'
import { type Block, blockOfName } from '../../src/policy/block.ts'
import { formatBlocks, readBlocks } from '../../src/settings/block-schema.ts'
import { loadSettings } from '../../src/settings/load-settings.ts'
import { formatSettingsError, SettingsError } from '../../src/settings/settings-error.ts'

const SEED = 20_240_614
const HASH = '0c7c9q1f6v7d3kmxz5s2w8bh4jrny0pl'
const KEY = 'cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY='
const STORE = storeDir('/nix/store')

/** The SHA-256 of nothing, in each of Nix's ways. */
const NAR_HASH = 'sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73'
const NAR_HASHES = [
  NAR_HASH,
  NAR_HASH.slice('sha256:'.length),
  'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=',
]

function storeDir(text: string) {
  const dir = parseStoreDir(text)
  if (dir === null) throw new Error('not a store directory')
  return dir
}

function block(...lines: readonly string[]): string {
  return ['[[block]]', ...lines, ''].join('\n')
}

/** Blocks as plain data: keys as their texts. */
function plain(blocks: readonly Block[]) {
  return blocks.map(({ blocked, reason }) => ({
    reason,
    blocked: blocked.kind === 'key' ? { kind: 'key', key: formatPublicKey(blocked.key) } : blocked,
  }))
}

async function load(t: Test, text: string, env = {}) {
  const configFile = join(t.testdir({ 'weir.toml': text }), 'weir.toml')
  return loadSettings({ env, configFile, homeDir: '/home/ada', cores: 4 })
}

async function explain(run: () => unknown): Promise<string> {
  try {
    await run()
  } catch (error) {
    if (error instanceof SettingsError) return formatSettingsError(error)
    throw error
  }
  throw new Error('the blocks were accepted')
}

t.test('a block is of one path, hash, package, key or NAR, however that is written', async (t) => {
  const reason = 'reason = "r"'
  const cases: readonly (readonly [string, object])[] = [
    [`path = "${HASH}-xz-5.6.1"`, { kind: 'path', baseName: `${HASH}-xz-5.6.1` }],
    [`path = "/nix/store/${HASH}-xz-5.6.1"`, { kind: 'path', baseName: `${HASH}-xz-5.6.1` }],
    [`hash = "${HASH}"`, { kind: 'hash', hash: HASH }],
    ['package = "xz"', { kind: 'package', package: 'xz', versions: null }],
    [
      'package = "xz"\nversions = ["5.6.0", "5.6.1"]',
      { kind: 'package', package: 'xz', versions: ['5.6.0', '5.6.1'] },
    ],
    [`key = "${KEY}"`, { kind: 'key', key: KEY }],
    ...NAR_HASHES.map(
      (text) => [`nar_hash = "${text}"`, { kind: 'nar-hash', narHash: NAR_HASH }] as const,
    ),
  ]
  for (const [lines, blocked] of cases) {
    const text = block(lines, reason)
    t.strictSame(plain((await load(t, text)).settings.blocks), [{ reason: 'r', blocked }], lines)
    t.strictSame(plain(readBlocks(text, 'blocks.toml', STORE)), [{ reason: 'r', blocked }])
  }
  const env = { WEIR_BLOCK: '[{"hash": "' + HASH + '", "reason": "from the environment"}]' }
  const { settings } = await load(t, block('package = "xz"', reason), env)
  t.strictSame(settings.blocks, [
    { reason: 'from the environment', blocked: { kind: 'hash', hash: HASH } },
  ])
})

t.test('each mistake in a block has its own words and its place, in either file', async (t) => {
  const one = 'Allowed: exactly one of path, hash, package, key, nar_hash.'
  const cases: readonly (readonly [readonly string[], string])[] = [
    [['reason = "r"'], `FILE, line 1, block[0]: found nothing that is blocked.\n  ${one}`],
    [
      ['package = "xz"', `hash = "${HASH}"`, 'reason = "r"'],
      `FILE, line 1, block[0]: found hash and package.\n  ${one}`,
    ],
    [['package = "xz"'], 'FILE, line 1, block[0].reason: found nothing.\n  Allowed: a reason'],
    [['package = "xz"', 'reason = " "'], 'line 3, block[0].reason: found " ".'],
    [
      [`hash = "${HASH}"`, 'versions = ["1"]', 'reason = "r"'],
      'FILE, line 3, block[0].versions: found versions besides hash.\n  Allowed: versions besides package, and nothing else.',
    ],
    [
      ['package = "xz-5.6.1"', 'reason = "r"'],
      'block[0].package: found "xz-5.6.1", which is of the package "xz".\n  Allowed: "xz".',
    ],
    [
      ['package = "@critical"', 'reason = "r"'],
      'block[0].package: found "@critical", which is no set of packages.\n  Allowed: a package: the name',
    ],
    [
      ['package = "xz"', 'versions = []', 'reason = "r"'],
      'block[0].versions: found an empty list.\n  Allowed: at least one version; without versions, all of them.',
    ],
    ...['', 'v5.6', '5.6 ', '5/6'].map(
      (version) =>
        [
          ['package = "xz"', `versions = ["5", "${version}"]`, 'reason = "r"'],
          `FILE, line 3, block[0].versions[1]: found "${version}".\n  Allowed: a version as it follows`,
        ] as const,
    ),
    [[`hash = "${HASH}0"`, 'reason = "r"'], 'block[0].hash: found "'],
    ...[HASH, `store/${HASH}-x`, `/nix/store/${HASH}-x/bin/x`, `/${HASH}-x`].map(
      (path) => [[`path = "${path}"`, 'reason = "r"'], 'block[0].path: found "'] as const,
    ),
    [
      [`path = "/gnu/store/${HASH}-x"`, 'reason = "r"'],
      'FILE, line 2, block[0].path: found a path below "/gnu/store".\n  Allowed: one below "/nix/store", server.store_dir.',
    ],
    [
      ['key = "k:AAAA"', 'reason = "r"'],
      'block[0].key: found "k:…", which has 3 bytes instead of 32.',
    ],
    ...['md5:d41d8cd98f00b204e9800998ecf8427e', 'sha256:', `${NAR_HASH}0`].map(
      (hash) => [[`nar_hash = "${hash}"`, 'reason = "r"'], 'block[0].nar_hash: found "'] as const,
    ),
    [
      ['package = "xz"', 'version = ["1"]', 'reason = "r"'],
      'FILE, line 3, block[0].version: found an unknown key.\n  Did you mean "versions"? Allowed: path, hash, package, versions, key, nar_hash, reason.',
    ],
  ]
  for (const [lines, message] of cases) {
    const text = block(...lines)
    const file = join(t.testdirName, 'weir.toml')
    const inConfiguration = (await explain(() => load(t, text))).replaceAll(file, 'FILE')
    t.ok(inConfiguration.includes(message), message, { inConfiguration })
    t.equal(await explain(() => readBlocks(text, 'FILE', STORE)), inConfiguration)
  }
})

t.test("Weir's own file of blocks has nothing but blocks, and is strict about it", async (t) => {
  t.strictSame(readBlocks('', 'FILE', STORE), [])
  t.strictSame(readBlocks(formatBlocks([]), 'FILE', STORE), [])
  t.equal(
    await explain(() => readBlocks('[server]\n', 'FILE', STORE)),
    'FILE, line 1, server: found an unknown key.\n  Allowed: block.',
  )
  t.match(await explain(() => readBlocks('[[blocks]]\n', 'FILE', STORE)), 'Did you mean "block"?')
  t.match(
    await explain(() => readBlocks('\n[block]\nhash = ""\n', 'FILE', STORE)),
    'FILE, line 2, block: found a table.\n  Allowed: a list of tables: each is headed [[block]]',
  )
  t.match(
    await explain(() => readBlocks('[[block]\n', 'FILE', STORE)),
    'FILE, line 1: found something that is not TOML at column',
  )
  const foreign = `${block(`path = "${HASH}-x"`, 'reason = "r"')}${block(`path = "/nix/store/${HASH}-x"`, 'reason = "r"')}`
  t.match(
    await explain(() => readBlocks(foreign, 'FILE', storeDir('/gnu/store'))),
    'FILE, line 5, block[1].path: found a path below "/nix/store".\n  Allowed: one below "/gnu/store"',
  )
})

t.test('blocks come back as they were written', (t) => {
  const of = (characters: string, lengths: { minLength: number; maxLength: number }) =>
    fc.string({ unit: fc.constantFrom(...Array.from(characters)), ...lengths })
  const letters = 'abcXYZ019+._?='
  const hash = of('0123456789abcdfghijklmnpqrsvwxyz', { minLength: 32, maxLength: 32 })
  const name = of(letters, { minLength: 1, maxLength: 20 }).map((text) => `n${text}`)
  const version = of(`${letters}-`, { minLength: 0, maxLength: 8 }).map((text) => `1${text}`)
  const versions = fc.option(fc.array(version, { minLength: 1, maxLength: 3 }), { nil: null })
  const bytes = fc.uint8Array({ minLength: 32, maxLength: 32 })
  const key = bytes.map((raw) => {
    const parsed = parsePublicKey(`k"\\-1:${Buffer.from(raw).toString('base64')}`)
    if (parsed === null) throw new Error('not a key')
    return parsed
  })
  const blocked = fc.oneof(
    fc.record({
      kind: fc.constant('path' as const),
      baseName: fc.tuple(hash, name).map((parts) => parts.join('-')),
    }),
    fc.record({ kind: fc.constant('hash' as const), hash }),
    fc.record({ kind: fc.constant('package' as const), package: name, versions }),
    fc.record({ kind: fc.constant('key' as const), key }),
    fc.constant({ kind: 'nar-hash' as const, narHash: NAR_HASH }),
  )
  const reason = fc.string({ unit: 'binary', minLength: 1 }).filter((text) => text.trim() !== '')
  const property = fc.property(fc.array(fc.record({ blocked, reason })), (blocks) => {
    const read = readBlocks(formatBlocks(blocks), 'FILE', STORE)
    return JSON.stringify(plain(read)) === JSON.stringify(plain(blocks))
  })
  fc.assert(property, { seed: SEED, numRuns: 500 })
  t.end()
})

t.test('a version that is accepted can match', (t) => {
  const blocks = readBlocks(
    block('package = "foo"', 'versions = ["-2", "5.6.0", ".1"]', 'reason = "r"'),
    'FILE',
    STORE,
  )
  for (const name of ['foo--2', 'foo-5.6.0-bin', 'foo-.1.drv']) {
    t.equal(blockOfName(blocks, name), blocks[0], name)
  }
  t.end()
})
