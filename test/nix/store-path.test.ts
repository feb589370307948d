import { deepEqual, equal } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import {
  type CacheInfo,
  formatCacheInfo,
  maxCacheInfoLength,
  parseCacheInfo,
} from '../../src/nix/cache-info.ts'
import { parseCompression } from '../../src/nix/compression.ts'
import {
  formatStorePath,
  parseBaseName,
  parseStoreDir,
  parseStorePath,
  parseStorePathHash,
} from '../../src/nix/store-path.ts'
import { must, storeDir } from './fixtures.ts'

const seed = 20260730
const hash = '05fkk8iijk1kq5cpqwnfcnh5yks8nj4m'
const alphabet = '0123456789abcdfghijklmnpqrsvwxyz'
const nameCharacters = '0123456789abcXYZ+._?=-'

t.test('a store directory is absolute and normalised', async (t) => {
  for (const text of ['/nix/store', '/s', '/gnu/store', '/home/a/.nix/store', '/a/..b/...']) {
    t.equal(parseStoreDir(text), text)
  }
  const refused = [
    '',
    '/',
    'nix/store',
    '/nix/store/',
    '//nix/store',
    '/nix//store',
    '/nix/./store',
    '/nix/../store',
    '/nix/store/..',
    '/nix/store/.',
    '/nix/store\n',
    '/nix/st\0ore',
    ' /nix/store',
    '/nix,/store',
    '/nix;/store',
    '/nix:/store',
    `/${'a'.repeat(2000)}`,
  ]
  for (const text of refused) t.equal(parseStoreDir(text), null, JSON.stringify(text))
})

t.test('a store path hash is 32 nix32 characters', async (t) => {
  t.equal(parseStorePathHash(hash), hash)
  for (const character of alphabet) t.ok(parseStorePathHash(character.repeat(32)), character)
  const refused = [
    hash.slice(1),
    `${hash}0`,
    hash.toUpperCase(),
    `${hash}\n`,
    `e${hash.slice(1)}`,
    '',
  ]
  for (const text of refused) t.equal(parseStorePathHash(text), null, JSON.stringify(text))
  for (const character of 'eotuEAZ-_. é') t.equal(parseStorePathHash(character.repeat(32)), null)
})

t.test('a store path is its hash and its name', async (t) => {
  const path = must(parseStorePath(`/nix/store/${hash}-top-1.0`, storeDir))
  t.same(path, { hash, name: 'top-1.0', baseName: `${hash}-top-1.0` })
  t.equal(formatStorePath(path, storeDir), `/nix/store/${hash}-top-1.0`)
})

t.test('a path outside the store, below a path or without a name is refused', async (t) => {
  const refused = [
    '',
    '/nix/store',
    '/nix/store/',
    `/nix/store/${hash}`,
    `/nix/store/${hash}-`,
    `/nix/store/${hash}-top/bin`,
    `/nix/store/${hash}-top/`,
    `/nix/store//${hash}-top`,
    `/nix/store/../store/${hash}-top`,
    `/nix/storex/${hash}-top`,
    `/gnu/store/${hash}-top`,
    `nix/store/${hash}-top`,
    `${hash}-top`,
    `/nix/store/${hash}_top`,
  ]
  for (const text of refused) t.equal(parseStorePath(text, storeDir), null, text)
})

t.test('a name is 1 to 211 of the allowed characters', async (t) => {
  for (const name of ['a', '-', '?', '=', '+', '_', 'a'.repeat(211), '.a', '...', '..a', '.a-b']) {
    t.equal(parseBaseName(`${hash}-${name}`)?.name, name)
  }
  const refused = [
    '',
    'a'.repeat(212),
    'a b',
    'a\n',
    'a/b',
    'é',
    'a\0',
    'a:b',
    'a,b',
    'a;b',
    'a%2f',
  ]
  for (const name of refused) t.equal(parseBaseName(`${hash}-${name}`), null, JSON.stringify(name))
  t.equal(parseBaseName(`${hash}-${'a'.repeat(1_000_000)}`), null, 'oversize')
})

t.test('a name that reads as a directory is refused', async (t) => {
  for (const name of ['.', '..', '.-a', '..-a', '.-', '..-']) {
    t.equal(parseBaseName(`${hash}-${name}`), null, name)
  }
})

t.test('every well-formed base name comes back byte by byte', async () => {
  const baseName = fc
    .tuple(
      fc.string({ unit: fc.constantFrom(...alphabet.split('')), minLength: 32, maxLength: 32 }),
      fc.string({
        unit: fc.constantFrom(...nameCharacters.split('')),
        minLength: 1,
        maxLength: 211,
      }),
    )
    .filter(([, name]) => !/^\.\.?(-|$)/.test(name))
    .map(([hash, name]) => `${hash}-${name}`)
  fc.assert(
    fc.property(baseName, (text) => {
      const path = must(parseBaseName(text))
      equal(`${path.hash}-${path.name}`, text)
      deepEqual(parseStorePath(formatStorePath(path, storeDir), storeDir), path)
    }),
    { seed },
  )
})

t.test('every change of one byte of a store path gives another path or none', async (t) => {
  const text = `/nix/store/${hash}-top`
  for (let i = 0; i < text.length; i++) {
    for (let code = 0; code < 256; code++) {
      const mutated = text.slice(0, i) + String.fromCharCode(code) + text.slice(i + 1)
      const path = parseStorePath(mutated, storeDir)
      if (path !== null && formatStorePath(path, storeDir) !== mutated) t.fail(mutated)
      if (path !== null && i < '/nix/store/'.length && mutated !== text) t.fail(mutated)
    }
  }
})

t.test('a compression is one of the thirteen names, and an empty one is bzip2', async (t) => {
  const names = 'none br bzip2 compress grzip gzip lrzip lz4 lzip lzma lzop xz zstd'.split(' ')
  for (const name of names) t.equal(parseCompression(name), name)
  t.equal(parseCompression(''), 'bzip2')
  for (const text of ['XZ', ' xz', 'xz ', 'zip', 'constructor', 'x'.repeat(1_000_000)]) {
    t.equal(parseCompression(text), null, text.slice(0, 20))
  }
})

t.test('nix-cache-info is read as clients read it', async (t) => {
  const official = 'StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 40\n'
  const info = { storeDir: '/nix/store', wantMassQuery: true, priority: 40 }
  t.same(parseCacheInfo(official), info)
  t.equal(formatCacheInfo(info), official)
  const byNix28 = 'StoreDir: /nix/store'
  t.same(parseCacheInfo(byNix28), { ...info, wantMassQuery: false, priority: 0 })
  t.same(parseCacheInfo(''), { ...info, wantMassQuery: false, priority: 0 })
  t.equal(parseCacheInfo('StoreDir: /nix/store/\n')?.storeDir, '/nix/store/')
  t.equal(parseCacheInfo('StoreDir:/a\r\n\r\nPriority:7\r\n')?.priority, 7)
  t.equal(parseCacheInfo('Priority: 1\nPriority: 2\n')?.priority, 2)
})

t.test('a cache wants mass queries only where it says 1', async (t) => {
  for (const value of ['0', '', 'true', '11', '01']) {
    t.equal(parseCacheInfo(`WantMassQuery: ${value}\n`)?.wantMassQuery, false, value)
  }
})

t.test('a priority that is no small whole number makes nix-cache-info unreadable', async (t) => {
  for (const value of ['', 'high', '-1', '1.5', '4e1', '0x10', '2147483648', '9'.repeat(400)]) {
    t.equal(parseCacheInfo(`Priority: ${value}\n`), null, value.slice(0, 20))
  }
  t.equal(parseCacheInfo('Priority: 2147483647\n')?.priority, 2147483647)
})

t.test('a web page or an endless text is no nix-cache-info', async (t) => {
  t.equal(parseCacheInfo('<!DOCTYPE html>\n<html>\n<p>Sign in: now</p>\n'), null)
  t.equal(parseCacheInfo('A: b\n'.repeat(maxCacheInfoLength)), null)
})

t.test('keys of nix-cache-info that we do not know are never passed on', async (t) => {
  const info = must(parseCacheInfo('StoreDir: /nix/store\nBloomFilter: abc\nPriority: 3\n'))
  t.equal(formatCacheInfo(info), 'StoreDir: /nix/store\nWantMassQuery: 0\nPriority: 3\n')
})

t.test('every nix-cache-info comes back as it was', async () => {
  const infos: fc.Arbitrary<CacheInfo> = fc.record(
    {
      storeDir: fc.constantFrom('/nix/store', '/gnu/store', '/home/x/store'),
      wantMassQuery: fc.boolean(),
      priority: fc.nat(),
    },
    { noNullPrototype: true },
  )
  fc.assert(
    fc.property(infos, (info) => {
      deepEqual(parseCacheInfo(formatCacheInfo(info)), info)
    }),
    { seed },
  )
})
