import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { parseNarinfo } from '../../src/nix/narinfo.ts'
import { askNarinfo, askPublicKey } from '../lab/ask-weir.ts'
import { mustDeliver, mustRefuse } from '../lab/deliveries.ts'
import {
  changed,
  makeContentAddressed,
  makeOffer,
  type Offer,
  pathOf,
  withContent,
} from '../lab/forged-offer.ts'
import { startForgedUpstream } from '../lab/forged-upstream.ts'
import { prepareLab } from '../lab/lab-caches.ts'
import { createNixClient } from '../lab/nix-client.ts'
import { rawGet } from '../lab/raw-client.ts'
import { startWeir } from '../lab/weir-process.ts'
import { storeDir } from '../nix/fixtures.ts'

t.setTimeout(120_000)
const lab = await prepareLab()
const keyless = await startForgedUpstream()
const weir = await startWeir({
  config: { upstreams: [{ name: 'keyless', url: keyless.url, keys: [] }] },
})
const publicKey = await askPublicKey(weir)
const [ownName = ''] = publicKey.split(':')
// Believes Weir, and nobody else.
const client = await createNixClient({ lab, publicKeys: [publicKey] })
t.teardown(async () => {
  await client[Symbol.asyncDispose]()
  await weir[Symbol.asyncDispose]()
  await keyless[Symbol.asyncDispose]()
})

const kinds = [
  ['fixed-output, flat', 'flat', 'sha256'],
  ['fixed-output, sha512', 'flat', 'sha512'],
  ['fixed-output, recursive', 'recursive', 'sha256'],
  ['fixed-output, recursive, sha512', 'recursive', 'sha512'],
  ['text', 'text', 'sha256'],
] as const

/** What Weir answers, cut loose from what proves it, and with whatever content an attacker likes. */
function cutLoose(answer: string, offer: Offer, content: string): Offer {
  const parsed = parseNarinfo(Buffer.from(answer), storeDir)
  if (parsed.kind === 'malformed') throw new Error(parsed.reason)
  const { signatures } = parsed.narinfo
  return withContent(changed(offer, { ca: null, signatures }), content)
}

/** Whether a narinfo, served by a plain server, convinces a client that trusts Weir's key. */
async function mustConvinceNobody(offer: Offer): Promise<void> {
  await using server = await startForgedUpstream(offer)
  await using gullible = await createNixClient({ lab, publicKeys: [publicKey] })
  await mustRefuse(gullible, server.url, pathOf(offer))
}

for (const [title, method, algorithm] of kinds) {
  t.test(`${title}, unsigned: delivered for what it is, and signed only then`, async (t) => {
    const offer = makeContentAddressed(`${method}-${algorithm}-1.0`, method, algorithm, 'genuine')
    await keyless.put(offer)
    const before = await askNarinfo(weir, offer)
    t.equal(before.verdict, 'trusted')
    t.same(before.signers, [], 'nobody signs what nobody has seen')
    t.match(before.text, /^CA: /m)
    await t.resolves(mustConvinceNobody(cutLoose(before.text, offer, 'evil')))
    await t.resolves(mustDeliver(client, weir.url, [offer]))
    await weir.waitForLog('nar.stored', ({ nar }) => String(nar).startsWith(hashOf(offer)))
    const after = await askNarinfo(weir, offer)
    t.same(after.signers, [ownName], 'its NAR was verified')
    await t.resolves(mustConvinceNobody(cutLoose(after.text, offer, 'evil')))
  })

  t.test(`${title}: a tampered NAR is not delivered, signed or kept`, async (t) => {
    const make = (name: string) =>
      makeContentAddressed(`${name}-${method}-${algorithm}`, method, algorithm, 'genuine')
    const underTrueHash = make('true-hash')
    const cases = {
      'described as it is': withContent(make('own-hash'), 'tampered'),
      'under the genuine NarHash': changed(withContent(underTrueHash, 'tampered'), {
        narHash: underTrueHash.narinfo.narHash,
      }),
    }
    for (const [how, bad] of Object.entries(cases)) {
      await keyless.put(bad)
      const { text, verdict, signers } = await askNarinfo(weir, bad)
      // Where the content address is the NarHash, another one is seen to be wrong before there is a NAR.
      const isSeen =
        method === 'recursive' && algorithm === 'sha256' && bad === cases['described as it is']
      t.equal(verdict, isSeen ? 'refused' : 'trusted')
      t.same(signers, [])
      if (!isSeen) await t.resolves(mustConvinceNobody(cutLoose(text, bad, 'tampered')), how)
      await t.resolves(mustRefuse(client, weir.url, pathOf(bad)), how)
      const asked = keyless.requests.filter(({ path }) => path === `/${bad.narinfo.url}`)
      t.equal(asked.length > 0, !isSeen, 'its NAR was looked at')
      t.same((await askNarinfo(weir, bad)).signers, [])
      const kept = await readdir(join(weir.cacheDir, 'nar'))
      t.notOk(kept.some((name) => name.startsWith(hashOf(bad))))
      keyless.requests.length = 0
    }
  })
}

for (const algorithm of ['md5', 'sha1'] as const) {
  t.test(`${algorithm} proves nothing: refused unless somebody signs`, async (t) => {
    const offer = makeContentAddressed(`weak-${algorithm}`, 'flat', algorithm, 'genuine')
    await keyless.put(offer)
    await t.resolves(mustRefuse(client, weir.url, pathOf(offer)))
    const { status, text } = await askNarinfo(weir, offer)
    t.equal(status, 404)
    t.match(text, 'keyless: weak-content-address')
  })
}

t.test('without a key and without a content address there is nothing', async (t) => {
  const offer = makeOffer({ name: 'unsigned-1.0' })
  await keyless.put(offer)
  await t.resolves(mustRefuse(client, weir.url, pathOf(offer)))
  t.match((await askNarinfo(weir, offer)).text, 'keyless: no-trusted-signature')
  const guessed = `${weir.url}/nar/${hashOf(offer)}-${offer.narinfo.url.slice(4)}.zst`
  t.equal((await rawGet(guessed)).status, 404, 'nor by its URL')
})

function hashOf({ narinfo }: Offer): string {
  return narinfo.storePath.hash
}
