import { equal } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { blockOf, blockOfName, type Block, type Blocked } from '../../src/policy/block.ts'
import { packageSets } from '../../src/policy/critical.ts'
import { matchesGlob } from '../../src/policy/glob.ts'
import { packageOf, versionOf } from '../../src/policy/package-name.ts'
import { ruleFor } from '../../src/policy/rule.ts'
import { must } from '../nix/fixtures.ts'
import { called, claimOf, hashOne, hashTwo, plain } from './claims.ts'
import { rule } from './policies.ts'

const seed = 20260731

/* Names: trust.md's table, and what stands behind the package. */
const names: readonly (readonly [name: string, packageName: string, version: string])[] = [
  ['nix-2.18.1', 'nix', '2.18.1'],
  ['nix-', 'nix-', ''],
  ['nix-2.18.1.tar.gz', 'nix', '2.18.1.tar.gz'],
  ['nix-aarch64-unknown-linux-gnu-2.18.1', 'nix-aarch64-unknown-linux-gnu', '2.18.1'],
  ['linux-6.6.1-modules', 'linux', '6.6.1-modules'],
  ['linux-hardened-6.6.1', 'linux-hardened', '6.6.1'],
  ['glibc-2.39-52-bin', 'glibc', '2.39-52-bin'],
  ['gcc-13.2.0-lib', 'gcc', '13.2.0-lib'],
  ['xz-5.6.1-bin', 'xz', '5.6.1-bin'],
  ['nix-unstable', 'nix-unstable', ''],
  ['nix-store-2.30.0', 'nix-store', '2.30.0'],
  ['nix-_evil', 'nix', '_evil'],
  ['Nix-2.18.1', 'Nix', '2.18.1'],
  ['linux-firmware-20240610', 'linux-firmware', '20240610'],
  ['python3.11-foo', 'python3.11-foo', ''],
  ['glibc-locales-2.39-52', 'glibc-locales', '2.39-52'],
  ['xgcc-13.2.0-libgcc', 'xgcc', '13.2.0-libgcc'],
  ['foo--bar', 'foo', '-bar'],
  ['foo', 'foo', ''],
  ['-1', '', '1'],
  ['nix-2.18.1.drv', 'nix', '2.18.1.drv'],
  ['nix-unstable.drv', 'nix-unstable', ''],
  ['foo.drv', 'foo', ''],
  ['nix-.drv', 'nix-', ''],
  ['nix-2.18.1.drv.drv', 'nix', '2.18.1.drv.drv'],
]
for (const [name, packageName, version] of names) {
  t.test(`the package of ${name} is ${packageName}, its version ${version || 'nothing'}`, (t) => {
    t.equal(packageOf(name), packageName)
    t.equal(versionOf(name), version)
    t.end()
  })
}

/** Nix's own split, written as its source has it: the first dash that is followed by something that is no letter. */
function parseDrvName(name: string): { readonly name: string; readonly version: string } {
  for (let at = 0; at + 1 < name.length; at++) {
    if (name[at] === '-' && !/[a-zA-Z]/.test(must(name[at + 1]))) {
      return { name: name.slice(0, at), version: name.slice(at + 1) }
    }
  }
  return { name, version: '' }
}

const nameCharacters = fc.constantFrom('-', 'a', 'Z', '1', '.', '_', '+', '?', '=')
t.test('a name is split where Nix splits it', async () => {
  fc.assert(
    fc.property(fc.string({ unit: nameCharacters, maxLength: 12 }), (name) => {
      const { name: packageName, version } = parseDrvName(name)
      equal(packageOf(name), packageName)
      equal(versionOf(name), version)
      equal(packageOf(`${name}.drv`), packageName)
    }),
    { seed, numRuns: 1000 },
  )
})

t.test('a name that is put before or behind another does not make it that package', async (t) => {
  for (const name of ['xnix-2.18', 'nix.-2.18', 'nix-x-2.18', ' nix-2.18', 'nix_-2.18']) {
    t.not(packageOf(name), 'nix', name)
  }
})

/* Globs. */
const naive = (glob: string, name: string): boolean => {
  if (glob === '') return name === ''
  const [wanted, rest] = [glob[0], glob.slice(1)]
  if (wanted === '*') return naive(rest, name) || (name !== '' && naive(glob, name.slice(1)))
  return name !== '' && (wanted === '?' || wanted === name[0]) && naive(rest, name.slice(1))
}

t.test('a glob matches what a naive reading of it matches', async () => {
  const globs = fc.string({ unit: fc.constantFrom('a', 'b', '*', '?', '.'), maxLength: 7 })
  const texts = fc.string({ unit: fc.constantFrom('a', 'b', '.'), maxLength: 8 })
  fc.assert(
    fc.property(globs, texts, (glob, name) => {
      equal(matchesGlob(glob, name), naive(glob, name), `${glob} on ${name}`)
    }),
    { seed, numRuns: 5000 },
  )
})

t.test('globs are anchored at both ends, and a dot is ordinary', async (t) => {
  t.ok(matchesGlob('acme-*', 'acme-site-1.0'))
  t.ok(matchesGlob('acme-*', 'acme-'))
  for (const name of ['acme', 'xacme-1', 'Acme-1']) t.notOk(matchesGlob('acme-*', name), name)
  t.notOk(matchesGlob('*-doc', 'a-doc-1'))
  t.ok(matchesGlob('a.b', 'a.b'))
  t.notOk(matchesGlob('a.b', 'axb'))
  t.ok(matchesGlob('*', '.hidden'))
  t.notOk(matchesGlob('', 'a'))
})

t.test('a letter, a bracket or a backslash of a glob stands for itself', async (t) => {
  for (const glob of ['[ab]', '\\a', '(a|b)', 'a+', '^a', 'a$']) {
    t.ok(matchesGlob(glob, glob), glob)
    t.notOk(matchesGlob(glob, 'a'), glob)
  }
})

t.test('the worst glob takes no longer than the product of both lengths', async (t) => {
  // A search that goes back to every star takes longer than the universe is old.
  t.notOk(matchesGlob(`${'*a'.repeat(100)}b`, 'a'.repeat(211)))
  t.ok(matchesGlob(`${'*a'.repeat(100)}*`, 'a'.repeat(211)))
})

/* @critical. */
const critical = must(packageSets.get('@critical'))

t.test('every entry of @critical is its own package, and stands there once', async (t) => {
  for (const entry of critical) equal(packageOf(entry), entry)
  t.equal(new Set(critical).size, critical.length)
})

t.test('@critical has what trust.md names', async (t) => {
  const named = ['nix', 'nix-store', 'lix', 'glibc', 'musl', 'systemd', 'linux', 'openssh']
  const more = ['openssl', 'sudo', 'shadow', 'pam', 'bash', 'coreutils', 'gcc', 'binutils']
  const bootstrap = ['bootstrap-tools', 'bootstrap-stage0-glibc', 'stdenv-linux']
  for (const entry of [...named, ...more, ...bootstrap]) t.ok(critical.includes(entry), entry)
})

/* Rules. */
t.test('the first rule that matches decides, by package or by glob', async (t) => {
  const rules = [
    rule({ name: 'packages', packages: new Set(['nix', 'xz']) }),
    rule({ name: 'globs', paths: ['nix-*', 'acme-?'] }),
    rule({ name: 'all' }),
  ]
  const ruleOf = (name: string) => ruleFor(rules, name)?.name
  t.equal(ruleOf('nix-2.18'), 'packages')
  t.equal(ruleOf('nix-store-2.18'), 'globs')
  t.equal(ruleOf('acme-1'), 'globs')
  t.equal(ruleOf('acme-12'), 'all')
  t.equal(ruleFor(rules.slice(0, 2), 'acme-12'), null)
})

/* Blocks. */
const blocks = (blocked: Blocked): readonly Block[] => [{ blocked, reason: 'recalled' }]
const xz = blocks({ kind: 'package', package: 'xz', versions: ['5.6.0', '5.6.1'] })
const isBlocked = (list: readonly Block[], name: string): boolean => {
  const byName = blockOfName(list, name) !== null
  equal(blockOf(list, claimOf(called(name)).narinfo) !== null, byName)
  return byName
}

t.test('a blocked version is itself, and itself continued by "-", ".drv" or ".tar"', async (t) => {
  for (const version of ['5.6.1', '5.6.1-bin', '5.6.1.drv', '5.6.1.tar.gz', '5.6.1-bin.drv']) {
    t.ok(isBlocked(xz, `xz-${version}`), version)
  }
  for (const version of ['5.6.10', '5.6', '5.6.1.1', '5.6.1a', '5.6.1_', '15.6.1', '5.6.2']) {
    t.notOk(isBlocked(xz, `xz-${version}`), version)
  }
})

t.test('a blocked package is no other package, in whatever version', async (t) => {
  for (const name of ['xz-utils-5.6.1', 'xzgrep-5.6.1', 'lxz-5.6.1', 'XZ-5.6.1', 'xz']) {
    t.notOk(isBlocked(xz, name), name)
  }
})

t.test('a package that is blocked without versions is blocked in every version', async (t) => {
  const all = blocks({ kind: 'package', package: 'xz', versions: null })
  for (const name of ['xz', 'xz-5.6.1', 'xz-1', 'xz.drv', 'xz-1-dev']) t.ok(isBlocked(all, name))
  t.notOk(isBlocked(all, 'xz-utils-1'))
})

t.test('a path, a hash and a NAR are blocked as what they are', async (t) => {
  const { narinfo } = claimOf(plain)
  const { hash, baseName } = narinfo.storePath
  t.ok(blockOf(blocks({ kind: 'path', baseName }), narinfo))
  t.notOk(blockOf(blocks({ kind: 'path', baseName: `${baseName}2` }), narinfo))
  t.ok(blockOf(blocks({ kind: 'hash', hash }), narinfo))
  t.ok(blockOf(blocks({ kind: 'hash', hash }), claimOf(called('other')).narinfo))
  t.ok(blockOf(blocks({ kind: 'nar-hash', narHash: hashOne }), narinfo))
  t.notOk(blockOf(blocks({ kind: 'nar-hash', narHash: hashTwo }), narinfo))
})

t.test('the block that is named is the first that is meant', async (t) => {
  const { narinfo } = claimOf(called('xz-5.6.1'))
  const first = { blocked: must(xz[0]).blocked, reason: 'the first' }
  t.equal(blockOf([must(blocks({ kind: 'hash', hash: 'none' })[0]), first, ...xz], narinfo), first)
})
