/** NARs that break off on their way to a real client, which asks for each file once: it notices nothing, wherever that is possible. */
import { createHash } from 'node:crypto'
import t, { type Test } from 'tap'
import { parseHash } from '../../src/nix/hash.ts'
import { formatPublicKey, generateSecretKey, publicKeyOf } from '../../src/nix/signature.ts'
import { encodeNar, type Encoding } from '../fakes/encode-nar.ts'
import { sha256 } from '../fakes/ingest-run.ts'
import { must } from '../nix/fixtures.ts'
import { mustDeliver, mustHold } from '../lab/deliveries.ts'
import type { FaultAction } from '../lab/fault.ts'
import { changed, makeOffer, noise, type Offer, pathOf, signedBy } from '../lab/forged-offer.ts'
import { type ForgedUpstream, startForgedUpstream } from '../lab/forged-upstream.ts'
import { createGate } from '../lab/gate.ts'
import { prepareLab } from '../lab/lab-caches.ts'
import { createNixClient } from '../lab/nix-client.ts'
import { startWeir } from '../lab/weir-process.ts'

t.setTimeout(600_000)
const lab = await prepareLab()
const key = generateSecretKey('one-1')
const keys = [formatPublicKey(publicKeyOf(key))]
const client = await createNixClient({ lab, publicKeys: keys })
t.teardown(() => client[Symbol.asyncDispose]())

/** Verified before its first byte goes out, or not. */
const sizes = { small: 100_000, large: 3_000_000 }
const verifyFirst = 1_000_000
/** More than a connection's buffer. */
const bufferedBytes = 256 * 1024

let made = 0
/** A path of so many bytes that nobody has asked for yet. */
function newOffer(bytes: number): Offer {
  made += 1
  const name = `broken-${made}.0`
  return signedBy(makeOffer({ name, content: noise(name, bytes) }), key)
}

const endings = { none: '.nar', xz: '.nar.xz', zstd: '.nar.zst' }

/** The same path as a cache has it that keeps its NARs in this encoding. */
async function inEncoding(offer: Offer, encoding: keyof typeof endings): Promise<Offer> {
  const nar = Buffer.from(await encodeNar(encoding as Encoding, offer.nar))
  const fileHash = must(parseHash(sha256(nar)))
  const name = createHash('sha256').update(nar).digest('hex')
  const url = `nar/${name}${endings[encoding]}`
  return { ...changed(offer, { url, fileHash, compression: encoding }), nar }
}

/** Strikes the requests for a path's file. */
function strike(
  { faults }: ForgedUpstream,
  { narinfo }: Offer,
  actions: readonly FaultAction[],
  times?: number,
): void {
  const path = new RegExp(narinfo.url)
  for (const action of actions) faults.add({ path, action, ...(times !== undefined && { times }) })
}

/** The requests for a path's file: the Range asked for, and the status. */
function askedFor({ requests }: ForgedUpstream, { narinfo }: Offer) {
  return requests
    .filter(({ path }) => path.endsWith(narinfo.url))
    .map(({ headers, status }) => ({ range: headers['range'], status }))
}

/** Where a file may break off: the small ones at their beginning, the large ones later. */
function places({ nar }: Offer): readonly (readonly [string, number])[] {
  const midway = ['midway', nar.length >> 1] as const
  return nar.length < verifyFirst
    ? [['at once', 0], midway]
    : [['after a byte', 1], midway, ['at its end', nar.length - 1]]
}

/** A path for each place where its file in an encoding may break off. */
async function breaking(bytes: number, encoding: keyof typeof endings) {
  const any = places(await inEncoding(newOffer(bytes), encoding))
  const made = any.map(async ([place], index) => {
    const offer = newOffer(bytes)
    const file = await inEncoding(offer, encoding)
    return { place, offer, file, at: must(places(file)[index] ?? null)[1] }
  })
  return Promise.all(made)
}

function configOf(upstreams: Readonly<Record<string, ForgedUpstream>>, encoding = 'zstd') {
  return {
    upstreams: Object.entries(upstreams).map(([name, { url }]) => ({ name, url, keys })),
    extra: { nar: { verify_first: verifyFirst, encoding } },
  }
}

async function eachSize(t: Test, act: (t: Test, bytes: number) => Promise<void>): Promise<void> {
  for (const [size, bytes] of Object.entries(sizes)) await t.test(size, (t) => act(t, bytes))
}

for (const encoding of ['xz', 'zstd'] as const) {
  t.test(`a NAR in ${encoding} that breaks off is gone on with by Range`, async (t) => {
    await using a = await startForgedUpstream()
    await using weir = await startWeir({ config: configOf({ a }) })
    await eachSize(t, async (t, bytes) => {
      for (const { place, offer, file, at } of await breaking(bytes, encoding)) {
        await a.put(file)
        strike(a, file, [{ kind: 'truncate', bytes: at }], 1)
        await t.resolves(mustDeliver(client, weir.url, [offer]), place)
        const asked = askedFor(a, file)
        t.equal(asked.length, 2)
        const from = Number(/^bytes=(\d+)-$/.exec(asked[1]?.range ?? 'bytes=0-')?.[1])
        // What had come and was not read yet is lost with its connection.
        const isNear = from <= at && from > at - bufferedBytes
        t.ok(isNear, `of ${at} bytes that were there, ${at - from} are fetched again`)
      }
      const reset = newOffer(bytes)
      const file = await inEncoding(reset, encoding)
      await a.put(file)
      strike(a, file, [{ kind: 'reset', bytes: file.nar.length >> 1 }], 2)
      await t.resolves(mustDeliver(client, weir.url, [reset]), 'by resets, twice')
    })
  })
}

t.test('without ranges, another upstream goes on, in whatever encoding', async (t) => {
  await using a = await startForgedUpstream()
  await using b = await startForgedUpstream()
  await using weir = await startWeir({ config: configOf({ a, b }) })
  await eachSize(t, async (t, bytes) => {
    const second = bytes < verifyFirst ? 'none' : 'zstd'
    for (const { place, offer, file, at } of await breaking(bytes, 'xz')) {
      const atB = await inEncoding(offer, second)
      await a.put(file)
      await b.put(atB)
      strike(a, file, [{ kind: 'norange' }, { kind: 'truncate', bytes: at }])
      await t.resolves(mustDeliver(client, weir.url, [offer]), `${place}, then ${second}`)
      t.strictSame(askedFor(b, atB), [{ range: undefined, status: 200 }])
    }
  })
})

t.test('alone, it is asked again as soon as it may be back', async (t) => {
  await using a = await startForgedUpstream()
  const breaks: Readonly<Record<string, readonly FaultAction[]>> = {
    'broken off midway, without ranges': [
      { kind: 'norange' },
      { kind: 'truncate', bytes: sizes.small >> 1 },
    ],
    'not answered': [{ kind: 'truncate', bytes: 0 }],
    busy: [{ kind: 'status', status: 503 }],
    'too busy': [{ kind: 'status', status: 429, headers: { 'retry-after': '1' } }],
  }
  for (const encoding of ['zstd', 'upstream']) {
    await using weir = await startWeir({ config: configOf({ a }, encoding) })
    const bytes = encoding === 'zstd' ? sizes.large : sizes.small
    for (const [what, actions] of Object.entries(breaks)) {
      const offer = newOffer(bytes)
      const file = await inEncoding(offer, 'xz')
      await a.put(file)
      strike(a, file, actions, 2)
      await t.resolves(mustDeliver(client, weir.url, [offer]), `${what}, ${encoding}`)
      t.ok(askedFor(a, file).length <= 4)
    }
  }
})

t.test('an upstream that gives wrong bytes, and then another one', async (t) => {
  await using a = await startForgedUpstream()
  await using b = await startForgedUpstream()
  for (const encoding of ['zstd', 'upstream']) {
    await using weir = await startWeir({ config: configOf({ a, b }, encoding) })
    await eachSize(t, async (t, bytes) => {
      const offer = newOffer(bytes)
      const [atA, atB] = [await inEncoding(offer, 'none'), await inEncoding(offer, 'none')]
      await a.put(atA)
      await b.put(atB)
      const breaks = { kind: 'truncate', bytes: atA.nar.length - 100 } as const
      strike(a, atA, [{ kind: 'corrupt', at: 200 }, { kind: 'norange' }, breaks])
      const first = await mustDeliver(client, weir.url, [offer]).then(
        () => true,
        () => false,
      )
      const isHandedOut = bytes > verifyFirst
      t.equal(first, !isHandedOut, 'what was handed out wrong is not completed')
      if (isHandedOut) t.notOk(await client.has(pathOf(offer)))
      await t.resolves(mustDeliver(client, weir.url, [offer]), 'the next command gets it right')
      await t.resolves(mustHold(client, [offer]))
    })
  }
})

t.test('a file that is passed on as it comes is gone on with from its twin', async (t) => {
  await using a = await startForgedUpstream()
  await using b = await startForgedUpstream()
  await using weir = await startWeir({ config: configOf({ a, b }, 'upstream') })
  await eachSize(t, async (t, bytes) => {
    for (const { place, offer, file, at } of await breaking(bytes, 'xz')) {
      await a.put(file)
      await b.put(file)
      strike(a, file, [{ kind: 'norange' }, { kind: 'truncate', bytes: at }])
      await t.resolves(mustDeliver(client, weir.url, [offer]), place)
      t.strictSame(askedFor(b, file), [{ range: undefined, status: 200 }])
    }
  })
})

t.test('a NAR that stands still is fetched anew for who joins it', async (t) => {
  await using a = await startForgedUpstream()
  await using weir = await startWeir({ config: configOf({ a }) })
  await using other = await createNixClient({ lab, publicKeys: keys })
  await eachSize(t, async (t, bytes) => {
    const offer = newOffer(bytes)
    const file = await inEncoding(offer, 'xz')
    await a.put(file)
    const gate = createGate()
    // Of the large one nothing can be handed out yet.
    strike(a, file, [{ kind: 'gateAfterBytes', bytes: 1000, gate }], 1)
    const first = mustDeliver(client, weir.url, [offer])
    await gate.reached()
    await t.resolves(mustDeliver(other, weir.url, [offer]), 'whoever joins gets it')
    await t.resolves(first, 'and who waited')
    t.equal(askedFor(a, file).length, 2)
  })
})
