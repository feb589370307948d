import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { generateSecretKey, formatPublicKey } from '../../src/nix/signature.ts'
import { encodeNar } from '../fakes/encode-nar.ts'
import { type Offer, pathOf } from '../lab/forged-offer.ts'
import { mustHold } from '../lab/deliveries.ts'
import { prepareLab } from '../lab/lab-caches.ts'
import { createNixClient, type NixClient } from '../lab/nix-client.ts'
import { startUpstream, type UpstreamServer } from '../lab/upstream-server.ts'
import { startWeir, type WeirProcess } from '../lab/weir-process.ts'
import { disagreements, partialFiles, wrongFiles } from './cache-state.ts'
import { createDice } from './dice.ts'
import { fetchPath } from './fetch-path.ts'
import { type Encoding, encodings, makeCache, type MadeCache } from './made-cache.ts'
import { makeClosure, type Offers } from './made-closure.ts'
import type { Tally } from './tally.ts'
import type { NarEncoding } from './weir-events.ts'

type Wrong = (file: Buffer, encoding: Encoding, another: Buffer) => Promise<Buffer> | Buffer

const flipped = (at: (length: number) => number): Wrong => {
  return (file) => {
    const copy = Buffer.from(file)
    const index = at(file.length)
    copy[index] = (copy[index] ?? 0) ^ 0x10
    return copy
  }
}

/** Everything that an upstream may give in place of a NAR's file. */
const wrongs: Readonly<Record<string, Wrong>> = {
  'a byte flipped in its first block': flipped(() => 200),
  'a byte flipped in the middle': flipped((length) => length >> 1),
  'a byte flipped in its last block': flipped((length) => length - 60),
  'too short a NAR': (file) => file.subarray(0, file.length - 5000),
  'too long a NAR': async (file, encoding) =>
    Buffer.concat([file, await encodeNar(encoding, Buffer.alloc(5000, 'more'))]),
  'a decompression bomb': async (_file, encoding) => (await bombs)[encoding],
  "another path's NAR": (_file, _encoding, another) => another,
}

/** 64 MiB of zeros, which compress to next to nothing. */
const bombs = (async (): Promise<Readonly<Record<Encoding, Buffer>>> => {
  const zeros = Buffer.alloc(64 << 20)
  const inEncoding = async (encoding: Encoding) => Buffer.from(await encodeNar(encoding, zeros))
  return { none: zeros, xz: await inEncoding('xz'), zstd: await inEncoding('zstd') }
})()

/** One NAR that is wrong in one way. */
type Case = { readonly title: string; readonly offer: Offer; readonly wrong: Wrong }

export type WrongNarsOptions = {
  readonly seed: number
  readonly encodings?: readonly Encoding[]
  /** Weir's `[nar] encoding`. */
  readonly narEncoding: NarEncoding
  /** How many paths are wrong in each way. */
  readonly each: number
  readonly tally: Tally
}

/** Wrong NARs of every kind, in every encoding, from the preferred of two upstreams. */
export async function tryWrongNars(options: WrongNarsOptions): Promise<void> {
  for (const encoding of options.encodings ?? encodings) {
    // What passes as it comes is verified afterwards, however small it is.
    const small = options.narEncoding === 'zstd' ? verifiedFirst : asTheyCome
    await withWrongUpstream(encoding, true, options, small)
    await withWrongUpstream(encoding, false, options, asTheyCome)
  }
}

type Setting = {
  readonly cases: readonly Case[]
  readonly weir: WeirProcess
  readonly client: NixClient
  readonly tally: Tally
}

/** Each command that meets a wrong NAR succeeds with the next upstream's. */
async function verifiedFirst({ cases, weir, client, tally }: Setting): Promise<void> {
  const [raw, real] = [cases.filter((_, index) => index % 2 === 0), cases]
  for (const { offer, title } of raw) {
    const got = await fetchPath(weir.url, offer)
    if (got.kind !== 'right') tally.fail(`${title}, verified first: ${JSON.stringify(got)}`)
    tally.count('right at once')
  }
  const offers = real.map(({ offer }) => offer)
  const realised = await client.realise(offers.map(pathOf), { substituters: [weir.url] })
  if (realised.code !== 0) tally.fail(`the first command failed: ${realised.stderr}`)
  else await mustHold(client, offers)
  tally.count('right at once', real.length)
}

/** A command that meets a wrong NAR fails, unless the rest came from another upstream; the next one succeeds. */
async function asTheyCome({ cases, weir, client, tally }: Setting): Promise<void> {
  for (const [index, { offer, title }] of cases.entries()) {
    if (index % 2 === 0) {
      const got = await fetchPath(weir.url, offer)
      if (got.kind === 'wrong') tally.fail(`${title}, as it came: ${got.why}`)
      tally.count(got.kind === 'right' ? 'gone on with from elsewhere' : 'never completed')
    } else {
      await client.forgetNarinfos()
      // One try a file: a NAR that was wrong is not fetched again so soon.
      const first = await client.realise([pathOf(offer)], {
        substituters: [weir.url],
        extraOptions: ['--option', 'download-attempts', '1'],
      })
      const isThere = await client.has(pathOf(offer))
      if (isThere) await mustHold(client, [offer])
      if (isThere !== (first.code === 0)) tally.fail(`${title}: exit ${String(first.code)}`)
      if (first.code !== 0 && !/error:/.test(first.stderr)) tally.fail(`${title}: says nothing`)
      tally.count(isThere ? 'gone on with from elsewhere' : 'never completed')
    }
    await client.forgetNarinfos()
    const next = await client.realise([pathOf(offer)], { substituters: [weir.url] })
    if (next.code !== 0) tally.fail(`${title}: the next command failed: ${next.stderr}`)
    else await mustHold(client, [offer])
    tally.count('right the next time')
  }
}

async function withWrongUpstream(
  encoding: Encoding,
  isVerifiedFirst: boolean,
  { seed, each, narEncoding, tally }: WrongNarsOptions,
  act: (setting: Setting) => Promise<void>,
): Promise<void> {
  const key = generateSecretKey('made-1')
  const keys = [formatPublicKey(key.publicKey)]
  const paths = Object.keys(wrongs).length * each
  // Of small NARs nothing is handed out before the outcome, whatever `verify_first` says.
  const minBytes = isVerifiedFirst ? 100_000 : 700_000
  const dice = createDice(seed)
  const offers = makeClosure({ dice, key, paths, minBytes, maxBytes: 2 * minBytes })
  await using cache = await makeCache(offers, encoding)
  await using bad = await startUpstream({ root: cache.root })
  await using good = await startUpstream({ root: cache.root })
  const cases = await arm(bad, cache, offers, encoding)
  await using client = await createNixClient({ lab: await prepareLab(), publicKeys: keys })
  await using weir = await startWeir({
    config: {
      upstreams: [
        { name: 'bad', url: bad.url, keys },
        { name: 'good', url: good.url, keys },
      ],
      extra: { nar: { verify_first: isVerifiedFirst ? '16MiB' : 0, encoding: narEncoding } },
    },
  })
  const idle = await weir.rssBytes()
  await act({ cases, weir, client, tally })
  const over = (await weir.peakRssBytes()) - idle
  if (over > 200 << 20) tally.fail(`RSS ${over >> 20} MiB over idle, ${encoding}`)
  await weir.stop()
  for (const name of await wrongFiles(weir, offers)) tally.fail(`stored, and wrong: ${name}`)
  for (const name of await partialFiles(weir)) tally.fail(`left: .partial/${name}`)
  for (const what of await disagreements(weir)) tally.fail(what)
}

/** Makes the upstream wrong about every NAR, each kind of wrong for as many of them. */
async function arm(
  upstream: UpstreamServer,
  cache: MadeCache,
  offers: Offers,
  encoding: Encoding,
): Promise<readonly Case[]> {
  const kinds = Object.entries(wrongs)
  const cases = offers.map((offer, index) => {
    const [title, wrong] = kinds[index % kinds.length] ?? ['', wrongs['too short a NAR']]
    if (wrong === undefined) throw new Error('there are no kinds')
    return { title: `${title} in ${encoding}`, offer, wrong }
  })
  const fileOf = (offer: Offer) => readFile(join(cache.root, cache.narPath(offer)))
  for (const [index, { offer, wrong }] of cases.entries()) {
    const another = offers[(index + 1) % offers.length] ?? offers[0]
    const body = await wrong(await fileOf(offer), encoding, await fileOf(another))
    const path = new RegExp(`^${RegExp.escape(cache.narPath(offer))}$`)
    upstream.faults.add({ path, action: { kind: 'replaceBody', body } })
  }
  return cases
}
