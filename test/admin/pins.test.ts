import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { createPinning, PinError } from '../../src/admin/pins.ts'
import { openPins, type Pin, type Pins } from '../../src/state/pins.ts'
import { StateFileError } from '../../src/state/state-file-error.ts'
import { fetchPath, lookAtPath } from '../../src/substituter/fetch-path.ts'
import { world } from '../fakes/substituter-world.ts'
import { storeNar } from '../fakes/substituter-client.ts'
import { down, numbered, type TestClaim, upstreamWith } from '../fakes/test-claims.ts'
import { workFolder } from '../fakes/work-folder.ts'
import { must, path, pathHash } from '../nix/fixtures.ts'

const hash = (digit: string) => pathHash(digit.repeat(32))

function pin(digit: string, changes: Partial<Pin> = {}): Pin {
  const its = hash(digit)
  return { path: `${its}-x`, hash: its, sinceMs: 1, closure: [its], unresolved: [], ...changes }
}

t.test('pins', async (t) => {
  t.test('are there again after a restart, in a file for its owner alone', async (t) => {
    const file = join(workFolder(t), 'pins.json')
    const pins = await openPins(file)
    t.strictSame([pins.list(), pins.has(hash('0'))], [[], false])
    const [one, other] = [
      pin('0', { closure: [hash('0'), hash('2')], sinceMs: 2 }),
      pin('1', { closure: [hash('1'), hash('2')], unresolved: [hash('2')] }),
    ]
    t.equal(await pins.pin(one), true)
    t.equal(await pins.pin(other), true)
    t.equal((await stat(file)).mode & 0o777, 0o600)
    const again = await openPins(file)
    t.strictSame(again.list(), [other, one], 'those pinned longest ago first')
    t.strictSame([...again.hashes()].sort(), [hash('0'), hash('1'), hash('2')])
    t.strictSame(await again.unpin(hash('0')), one)
    t.strictSame([again.has(hash('0')), again.has(hash('2'))], [false, true], 'members are shared')
    t.equal(await again.unpin(hash('0')), null)
    t.strictSame((await openPins(file)).list(), [other])
  })

  t.test('that are made again keep their time, and take the new closure', async (t) => {
    const pins = await openPins(join(workFolder(t), 'pins.json'))
    await pins.pin(pin('0'))
    const closure = [hash('0'), hash('1')]
    t.equal(await pins.pin(pin('0', { sinceMs: 9, closure })), false)
    t.strictSame(pins.list(), [pin('0', { closure })])
  })

  t.test('in a damaged file are never taken for none', async (t) => {
    const file = join(workFolder(t), 'pins.json')
    await (await openPins(file)).pin(pin('0'))
    const good = await readFile(file, 'utf8')
    const damaged = [
      '',
      '{}',
      good.slice(0, -10),
      good.replace('"version":1', '"version":2'),
      good.replace(hash('0'), 'e'.repeat(32)),
      good.replace('"unresolved"', '"more":1,"unresolved"'),
    ]
    for (const text of damaged) {
      await writeFile(file, text)
      await t.rejects(openPins(file), StateFileError, text)
    }
  })

  t.test(
    'that cannot be written hold in memory, and what cannot be taken back stays',
    async (t) => {
      const dir = join(workFolder(t), 'state')
      await mkdir(dir)
      const file = join(dir, 'pins.json')
      const pins = await openPins(file)
      await pins.pin(pin('0'))
      // A folder in the way of the new text, which no user can write over.
      await mkdir(`${file}.new`)
      await t.rejects(pins.pin(pin('1')))
      t.ok(pins.has(hash('1')))
      await t.rejects(pins.unpin(hash('0')))
      t.ok(pins.has(hash('0')))
      await chmod(dir, 0o700)
      t.strictSame((await openPins(file)).list(), [pin('0')])
    },
  )
})

/** A path that refers to the paths of other claims, and to itself. */
function referring(number: number, ...others: readonly TestClaim[]): TestClaim {
  const own = numbered(number).narinfo.storePath
  return numbered(number, { references: [own, ...others.map((each) => each.narinfo.storePath)] })
}

t.test('pinning', async (t) => {
  const leaf = numbered(3)
  const middle = referring(2, leaf)
  const root = referring(1, middle, leaf)
  const names = (...claims: readonly TestClaim[]) =>
    claims.map(({ narinfo }) => narinfo.storePath.baseName)

  const pinningWorld = async (t: Parameters<typeof world>[0], claims: readonly TestClaim[]) => {
    const a = upstreamWith('a', ...claims)
    const dir = workFolder(t)
    const pins: Pins = await openPins(join(dir, 'pins.json'))
    const made = await world(t, { upstreams: [a], dir, pins, maxBytes: 2500 })
    const pinning = createPinning({
      ...{ ...made, pins },
      look: (hash) => lookAtPath(made, hash),
      fetch: (hash) => fetchPath({ ...made, encoding: () => 'zstd' }, hash),
    })
    return { ...made, a, pins, pinning }
  }

  t.test('looks through references, says what is to be fetched, and fetches it', async (t) => {
    const { pinning, ...made } = await pinningWorld(t, [root, middle, leaf])
    await storeNar(made, leaf.key)
    const report = await pinning.pin(root.key.storePathHash)
    t.match(report, { isNew: true, paths: 3, missing: [], path: names(root)[0] })
    t.same(
      report.wanted.map(({ path }) => path),
      names(root, middle),
    )
    for (const { hash } of report.wanted) {
      t.match(await pinning.fetch(hash), { kind: 'stored', upstream: 'a' })
    }
    t.match(await pinning.fetch(leaf.key.storePathHash), { kind: 'stored', upstream: null })
    const { pins, pinnedBytes, limitBytes } = await pinning.list()
    t.match(pins, [{ paths: 3, stored: 3, unresolved: 0 }])
    t.equal(pinnedBytes, pins[0]?.storedBytes)
    t.ok(pinnedBytes > limitBytes)
    t.ok(made.log.named('pins.too-large').length > 0, 'more is pinned than the cache may take')
    t.equal(made.keeper.totals().count, 3, 'and it stays')
    t.equal(await pinning.unpin(root.key.storePathHash), names(root)[0])
    t.ok(made.keeper.totals().count < 3, 'until it is let go of')
    t.equal(await pinning.unpin(root.key.storePathHash), null)
  })

  t.test('keeps what it can, and finds the rest when it is pinned again', async (t) => {
    const { pinning, a, pins, finder } = await pinningWorld(t, [root, middle, leaf])
    const answer = must(a.answers.narinfo)
    a.answers.narinfo = (hash, signal) =>
      hash === middle.key.storePathHash ? down() : answer(hash, signal)
    const report = await pinning.pin(root.key.storePathHash)
    t.match(report.missing, [
      { path: names(middle)[0], why: 'could not tell: a: connect, refused' },
    ])
    t.same(pins.list()[0]?.unresolved, [middle.key.storePathHash])
    t.ok(pins.has(middle.key.storePathHash), 'it is protected once it comes')
    a.answers.narinfo = answer
    finder.forget(middle.key.storePathHash)
    t.match(await pinning.pin(root.key.storePathHash), { isNew: false, paths: 3, missing: [] })
    t.same(pins.list()[0]?.unresolved, [])
    a.answers.narinfo = (hash, signal) =>
      hash === root.key.storePathHash ? answer(hash, signal) : down()
    for (const { key } of [root, middle, leaf]) finder.forget(key.storePathHash)
    await pinning.pin(root.key.storePathHash)
    t.match(pins.list(), [{ closure: { length: 3 }, unresolved: [] }], 'what was known stays known')
  })

  t.test('says why a NAR could not be had', async (t) => {
    const { pinning, a } = await pinningWorld(t, [leaf])
    a.answers.nar = () => null
    await pinning.pin(leaf.key.storePathHash)
    const fetched = await pinning.fetch(leaf.key.storePathHash)
    t.match(fetched, { kind: 'missing', why: 'its NAR is absent; a: absent, has no such NAR' })
  })

  t.test('refuses what nobody vouches for, and fetches nothing that is not pinned', async (t) => {
    const { pinning, pins } = await pinningWorld(t, [leaf])
    const unknown = path(`${'9'.repeat(32)}-x`).hash
    await t.rejects(pinning.pin(unknown), PinError)
    await t.rejects(pinning.fetch(leaf.key.storePathHash), PinError)
    t.same(pins.list(), [])
  })
})
