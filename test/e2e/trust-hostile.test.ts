import t from 'tap'
import { askControl } from '../../src/control/control-client.ts'
import type { UpstreamState } from '../../src/admin/admin.ts'
import { parseContentAddress } from '../../src/nix/content-address.ts'
import { formatHash } from '../../src/nix/hash.ts'
import { formatNarinfo, type Narinfo } from '../../src/nix/narinfo.ts'
import { formatPublicKey, generateSecretKey } from '../../src/nix/signature.ts'
import { askMetric, askNarinfo } from '../lab/ask-weir.ts'
import { mustDeliver, mustRefuse } from '../lab/deliveries.ts'
import {
  changed,
  makeOffer,
  type Offer,
  type OfferOptions,
  pathOf,
  renamed,
  signedBy,
  withContent,
} from '../lab/forged-offer.ts'
import { type ForgedUpstream, startForgedUpstream } from '../lab/forged-upstream.ts'
import { prepareLab } from '../lab/lab-caches.ts'
import { createNixClient, type NixClient } from '../lab/nix-client.ts'
import type { LogRecord } from '../lab/process-log.ts'
import type { RequestRecord } from '../lab/request-log.ts'
import { startWeir, type WeirProcess } from '../lab/weir-process.ts'
import { must, storeDir } from '../nix/fixtures.ts'

t.setTimeout(120_000)
const lab = await prepareLab()
const officialKey = generateSecretKey('official-1')
const hostileKey = generateSecretKey('hostile-1')
const impostorKey = generateSecretKey('official-1')
const publicKeys = [officialKey, hostileKey].map(({ publicKey }) => formatPublicKey(publicKey))
const rule = [{ name: 'the root of trust', packages: ['@critical'], from: ['official'] }]

const genuine = (options: OfferOptions) => signedBy(makeOffer(options), officialKey)
/** What the hostile upstream offers in its place: other content, and a signature that is valid, by its own key. */
const forged = (offer: Offer) =>
  signedBy(changed(withContent(offer, 'evil'), { signatures: [] }), hostileKey)

type Setting = {
  /** Most preferred first, as in the configuration. */
  readonly order: readonly ('official' | 'hostile')[]
  readonly official: ForgedUpstream
  readonly hostile: ForgedUpstream
  readonly weir: WeirProcess
  /** Trusts the keys of both: only Weir keeps the hostile's paths from it. */
  readonly client: NixClient
}

async function withWeir(
  order: readonly ('official' | 'hostile')[],
  act: (setting: Setting) => Promise<void>,
): Promise<void> {
  await using official = await startForgedUpstream()
  await using hostile = await startForgedUpstream()
  const known = {
    official: { name: 'official', url: official.url, keys: [publicKeys[0] ?? ''] },
    hostile: { name: 'hostile', url: hostile.url, keys: [publicKeys[1] ?? ''] },
  }
  const upstreams = order.map((name) => known[name])
  await using weir = await startWeir({ config: { upstreams, extra: { rule } } })
  await using client = await createNixClient({ lab, publicKeys })
  await act({ order, official, hostile, weir, client })
}

const speeds = ['both at once', 'the hostile first', 'the official first'] as const

/** Lets a client ask while the two upstreams answer in an order that is certain, gated and not timed. */
async function atSpeed(
  { order, official, hostile, weir }: Setting,
  speed: (typeof speeds)[number],
  offer: Offer,
  ask: () => Promise<void>,
): Promise<void> {
  const path = new RegExp(offer.narinfo.storePath.hash)
  const isFound = (request: RequestRecord) => path.test(request.path) && request.status === 200
  const isHostiles = (record: LogRecord) =>
    record['upstream'] === 'hostile' && record['path'] === pathOf(offer)
  const hostileIsJudged = () =>
    Promise.race([
      weir.waitForLog('claim.refused', isHostiles),
      weir.waitForLog('claim.trusted', isHostiles),
    ])
  if (speed === 'both at once') {
    await ask()
    return
  }
  const isHostileFirst = speed === 'the hostile first'
  const gate = (isHostileFirst ? official : hostile).hold({ path })
  const asked = ask()
  await gate.reached()
  if (isHostileFirst) {
    await hostileIsJudged()
  } else {
    await official.waitFor((request) => path.test(request.path) && request.state === 'complete')
    // A less preferred upstream is not waited for; a more preferred one could still say another name, which would count.
    const isDecided = order[0] === 'official' && official.requests.some(isFound)
    if (isDecided) await asked
  }
  gate.open()
  await asked
  await hostileIsJudged()
}

for (const order of [
  ['hostile', 'official'],
  ['official', 'hostile'],
] as const) {
  t.test(`a hostile nix is never delivered: ${order.join(' before ')}`, async (t) => {
    await withWeir(order, async (setting) => {
      const { official, hostile, weir, client } = setting
      for (const [index, speed] of speeds.entries()) {
        const had = genuine({ name: `nix-2.18.${index}`, seed: `had ${index}` })
        const lacked = makeOffer({ name: `nix-2.18.${index}`, seed: `lacked ${index}` })
        await official.put(had)
        await hostile.put(forged(had), forged(lacked))
        await t.resolves(
          atSpeed(setting, speed, had, () => mustDeliver(client, weir.url, [had])),
          `${speed}: the official content of a nix that both have`,
        )
        await client.wipe()
        await t.resolves(mustDeliver(client, weir.url, [had]), 'and so the next time')
        await t.resolves(
          atSpeed(setting, speed, lacked, () => mustRefuse(client, weir.url, pathOf(lacked))),
          `${speed}: nothing of a nix that only the hostile has`,
        )
      }

      const glibc = genuine({ name: 'glibc-2.39', seed: 'shared glibc' })
      const onlyTheirs = makeOffer({ name: 'glibc-2.39', seed: 'hidden glibc' })
      const tool = (name: string, dependency: Offer) =>
        signedBy(makeOffer({ name, references: [dependency.narinfo.storePath] }), hostileKey)
      const shared = tool('their-tool-1.0', glibc)
      const hidden = tool('their-tool-2.0', onlyTheirs)
      await official.put(glibc)
      await hostile.put(forged(glibc), forged(onlyTheirs), shared, hidden)
      await t.resolves(
        mustDeliver(client, weir.url, [shared, glibc]),
        "a glibc in the references of the hostile's own path is the official's",
      )
      await t.resolves(
        mustRefuse(client, weir.url, pathOf(hidden)),
        'and where only the hostile has it, neither comes',
      )
      t.equal((await askNarinfo(weir, onlyTheirs)).verdict, 'refused')

      const input = makeOffer({ name: 'nix-2.19.0', seed: 'labelled' })
      const ca = parseContentAddress(`fixed:r:${formatHash(forged(input).narinfo.narHash)}`)
      const byName = makeOffer({ name: 'nix-2.20.0', seed: 'under its name' })
      const mine = makeOffer({ name: 'their-tool-3.0' })
      const labelled = changed(forged(mine), { ca, signatures: [] })
      await hostile.put(changed(forged(input), { ca }), labelled)
      await hostile.put(signedBy(withContent(byName, 'evil'), impostorKey))
      await t.resolves(mustRefuse(client, weir.url, pathOf(input)), 'a CA label on a nix')
      await t.resolves(
        mustRefuse(client, weir.url, pathOf(labelled)),
        'a CA label and no signature',
      )
      await t.resolves(
        mustRefuse(client, weir.url, pathOf(byName)),
        "a signature under the name of the official's key",
      )
      const stolen = makeOffer({ name: 'their-tool-4.0' })
      await hostile.put(signedBy(stolen, impostorKey))
      await t.resolves(mustRefuse(client, weir.url, pathOf(stolen)), 'and that for any other name')
      const inOfficial = makeOffer({ name: 'nix-2.21.0' })
      await official.put(signedBy(inOfficial, impostorKey))
      await t.resolves(
        mustRefuse(client, weir.url, pathOf(inOfficial)),
        'and even where it comes from the official upstream',
      )
      t.ok((await askMetric(weir, 'weir_bad_signatures_total{upstream="official"}')) > 0)
    })
  })
}

const suspensionOf = async (weir: WeirProcess, name: string) => {
  const states = await askControl<readonly UpstreamState[]>(weir.stateDir, {
    method: 'GET',
    path: '/upstreams',
  })
  return must(states?.find(({ upstream }) => upstream === name)).suspended
}

t.test('a less preferred upstream that lies about a name is refused and suspended', async (t) => {
  await withWeir(['official', 'hostile'], async ({ official, hostile, weir, client }) => {
    const nix = genuine({ name: 'nix-2.18.1' })
    const theirs = signedBy(makeOffer({ name: 'their-tool-1.0' }), hostileKey)
    await official.put(nix)
    await hostile.put(forged(renamed(nix, 'harmless')), theirs)
    t.equal(await suspensionOf(weir, 'hostile'), null)
    await t.resolves(mustDeliver(client, weir.url, [nix]), 'the truth is delivered')
    await weir.waitForLog('upstream.suspended', ({ upstream }) => upstream === 'hostile')
    t.match(await suspensionOf(weir, 'hostile'), /signed the name harmless .* official says nix/)
    t.equal(await suspensionOf(weir, 'official'), null)
    t.equal(await askMetric(weir, 'weir_upstream_suspended{upstream="hostile"}'), 1)
    t.equal(await askMetric(weir, 'weir_upstream_suspended{upstream="official"}'), 0)
    t.equal(await askMetric(weir, 'weir_lying_names_total{upstream="hostile"}'), 1)
    await t.resolves(
      mustRefuse(client, weir.url, pathOf(theirs)),
      'nothing that it says counts any more',
    )
    const query = { upstream: 'hostile' }
    await askControl(weir.stateDir, { method: 'POST', path: '/resume', query })
    await t.resolves(mustDeliver(client, weir.url, [theirs]), 'until an operator clears it')
    t.equal(await askMetric(weir, 'weir_upstream_suspended{upstream="hostile"}'), 0)
  })
})

t.test('a lying name for what the official lacks is never taken for the path', async (t) => {
  await withWeir(['official', 'hostile'], async ({ official, hostile, weir, client }) => {
    const lacked = makeOffer({ name: 'nix-2.18.1' })
    await hostile.put(forged(renamed(lacked, 'harmless')))
    await t.resolves(mustRefuse(client, weir.url, pathOf(lacked)))

    const glibc = makeOffer({ name: 'glibc-2.39' })
    const hello = genuine({ name: 'hello-1.0', references: [glibc.narinfo.storePath] })
    await official.put(hello)
    await hostile.put(forged(renamed(glibc, 'harmless')))
    await t.resolves(mustRefuse(client, weir.url, pathOf(hello)))
    const { status, text } = await askNarinfo(weir, glibc)
    t.equal(status, 404, 'a name that trusted references contradict is not even handed on')
    t.match(text, 'hostile: unexpected-name')
  })
})

t.test('a more preferred upstream that lies about a name is not delivered', async (t) => {
  await withWeir(['hostile', 'official'], async ({ official, hostile, weir, client }) => {
    const nix = genuine({ name: 'nix-2.18.1' })
    await official.put(nix)
    await hostile.put(forged(renamed(nix, 'harmless')))
    await t.resolves(mustRefuse(client, weir.url, pathOf(nix)))
    // The rule believes the official alone for that name: whoever may not speak for it cannot have it suspended.
    await weir.waitForLog('name.lied')
    t.equal(await suspensionOf(weir, 'official'), null)
    const next = genuine({ name: 'nix-2.18.2' })
    await official.put(next)
    await t.resolves(mustDeliver(client, weir.url, [next]))
  })
})

/** Flips the last bit of the byte in the middle of a field's value; a `Sig` is flipped in its bytes, not in its name. */
function flipped(text: string, field: string): string {
  const { index, 0: line } = must(new RegExp(`^${field}: .+$`, 'm').exec(text))
  const start = index + Math.max(line.indexOf(': ') + 2, line.lastIndexOf(':') + 1)
  return flipAt(text, Math.floor((start + index + line.length) / 2))
}

function flipAt(text: string, offset: number): string {
  const bytes = Buffer.from(text, 'latin1')
  bytes.writeUInt8(bytes.readUInt8(offset) ^ 1, offset)
  return bytes.toString('latin1')
}

const covered = ['StorePath', 'NarHash', 'NarSize', 'References', 'Sig'] as const
const uncovered = ['URL', 'Compression', 'FileHash', 'FileSize', 'Deriver'] as const

/** A signed path with every field that a narinfo may have. */
function complete(name: string): Offer {
  const dependency = makeOffer({ name: 'dependency' }).narinfo.storePath
  const offer = makeOffer({ name })
  const { storePath, narHash, narSize } = offer.narinfo
  const fields: Partial<Narinfo> = {
    ...{ fileHash: narHash, fileSize: narSize, references: [dependency, storePath] },
    deriver: makeOffer({ name: `${name}.drv` }).narinfo.storePath,
  }
  return signedBy(changed(offer, fields), officialKey)
}

t.test("one bit flipped in a field of the official upstream's narinfo", async (t) => {
  await withWeir(['official'], async ({ official, weir, client }) => {
    const dependency = genuine({ name: 'dependency' })
    await official.put(dependency)
    const offers = [...covered, ...uncovered].map((field) => ({
      field,
      offer: complete(`flipped-${field}`),
    }))
    for (const { field, offer } of offers) {
      await official.putText(offer, flipped(formatNarinfo(offer.narinfo, storeDir), field))
    }
    for (const { field, offer } of offers) {
      if (covered.some((each) => each === field)) {
        await t.resolves(mustRefuse(client, weir.url, pathOf(offer)), `${field}: refused`)
        continue
      }
      const outcome = await mustDeliver(client, weir.url, [offer, dependency]).then(
        () => 'delivered',
        (error: unknown) => String(error),
      )
      const isHarmless = outcome === 'delivered' || !(await client.has(pathOf(offer)))
      t.ok(isHarmless, `${field}: the right content or none (${outcome})`)
    }
  })
})

t.test('whichever byte is flipped, what Weir answers is what was signed, or nothing', async (t) => {
  await withWeir(['official'], async ({ official, weir }) => {
    const signedLines = /^(StorePath|NarHash|NarSize|References|Sig: official)/
    const said = (narinfo: string) => narinfo.split('\n').filter((line) => signedLines.test(line))
    const length = formatNarinfo(complete('any-000').narinfo, storeDir).length
    const outcomes = await Promise.all(
      Array.from({ length: Math.ceil(length / 2) }, async (_, index) => {
        const at = 2 * index
        const offer = complete(`any-${String(at).padStart(3, '0')}`)
        const text = formatNarinfo(offer.narinfo, storeDir)
        await official.putText(offer, flipAt(text, at))
        const answer = await askNarinfo(weir, offer)
        if (answer.status !== 200) return 'nothing'
        t.same(said(answer.text), said(text), `byte ${at}`)
        return 'what was signed'
      }),
    )
    t.same([...new Set(outcomes)].sort(), ['nothing', 'what was signed'])
  })
})
