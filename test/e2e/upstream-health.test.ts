import { Agent } from 'node:http'
import t, { type Test } from 'tap'
import { formatPublicKey, generateSecretKey } from '../../src/nix/signature.ts'
import { askMetric, askNarinfo } from '../lab/ask-weir.ts'
import { makeOffer, type Offer, signedBy } from '../lab/forged-offer.ts'
import { type ForgedUpstream, startForgedUpstream } from '../lab/forged-upstream.ts'
import { startWeir, type WeirProcess } from '../lab/weir-process.ts'

t.setTimeout(120_000)
const key = generateSecretKey('one-1')
const publicKey = formatPublicKey(key.publicKey)
const breaker = 'weir_upstream_breaker_state{upstream="one"}'
const offersNamed = (name: string, count: number): readonly Offer[] =>
  Array.from({ length: count }, (_, index) =>
    signedBy(makeOffer({ name: `${name}-${index}.0` }), key),
  )

type Started = AsyncDisposable & {
  readonly weir: WeirProcess
  readonly one: ForgedUpstream
  /** How an offer's narinfo is answered. */
  readonly ask: (offer: Offer | undefined) => Promise<number>
  /** How often the upstream was asked for an offer's narinfo. */
  readonly asked: (offer: Offer | undefined) => number
}

/** A Weir before one upstream that has these offers. */
async function start(offers: readonly Offer[], settings: object = {}): Promise<Started> {
  const one = await startForgedUpstream(...offers)
  const weir = await startWeir({
    config: { upstreams: [{ name: 'one', url: one.url, keys: [publicKey], ...settings }] },
  })
  return {
    ...{ weir, one },
    ask: async (offer) => (await askNarinfo(weir, must(offer))).status,
    asked: (offer) => {
      const path = `/${must(offer).narinfo.storePath.hash}.narinfo`
      return one.requests.filter((request) => request.path === path).length
    },
    [Symbol.asyncDispose]: async () => {
      await weir[Symbol.asyncDispose]()
      await one[Symbol.asyncDispose]()
    },
  }
}

function must(offer: Offer | undefined): Offer {
  if (offer === undefined) throw new TypeError('there is no such offer')
  return offer
}

const narinfos = /narinfo$/

t.test('what fails for a moment fails for no client', async (t) => {
  const offers = offersNamed('moment', 3)
  await using started = await start(offers)
  const { one, ask, asked } = started
  const [cut, busy, told] = offers
  one.faults.add({ path: narinfos, times: 1, action: { kind: 'reset', bytes: 0 } })
  t.equal(await ask(cut), 200)
  t.equal(asked(cut), 2)
  one.faults.add({ path: narinfos, times: 1, action: { kind: 'status', status: 502 } })
  t.equal(await ask(busy), 200)
  t.equal(asked(busy), 2)
  const headers = { 'retry-after': '1' }
  one.faults.add({ path: narinfos, times: 1, action: { kind: 'status', status: 429, headers } })
  t.equal(await ask(told), 200)
  t.equal(asked(told), 2)
})

t.test('an outage is not multiplied by those who ask', async (t) => {
  const offers = offersNamed('outage', 200)
  await using started = await start(offers)
  const { one, ask } = started
  one.faults.add({ path: /^/, action: { kind: 'status', status: 503 } })
  const statuses = await Promise.all(offers.map(ask))
  t.ok(statuses.every((status) => status === 503))
  const { length } = one.requests
  t.ok(length <= 1.2 * offers.length + 10, `${length} requests for ${offers.length} questions`)
})

/** Asks until the upstream is known to be down. */
async function bringDown(t: Test, { weir, ask }: Started, offers: readonly Offer[]): Promise<void> {
  t.strictSame(new Set(await Promise.all(offers.map(ask))), new Set([503]))
  await weir.waitForLog('upstream.down')
  t.not(await askMetric(weir, breaker), 0)
}

t.test('the first question after an outage is answered, and at once', async (t) => {
  const offers = offersNamed('back', 8)
  await using started = await start(offers)
  const { weir, one, ask } = started
  await one.stop()
  await bringDown(t, started, offers.slice(0, 4))
  await one.start()
  const before = performance.now()
  // A question that failed a moment ago answers for those that come right after it.
  let status = 503
  while (status === 503) status = await ask(offers[4])
  t.equal(status, 200)
  t.ok(performance.now() - before < 5000, 'long before a probe is due after a longer outage')
  t.equal(await ask(offers[5]), 200)
  t.equal(await askMetric(weir, breaker), 0)
})

t.test('a black hole costs each question about a second, however many ask', async (t) => {
  const offers = offersNamed('hole', 40)
  const settings = { narinfo_timeout: '6s' }
  await using started = await start(offers, settings)
  const { one, ask } = started
  const gate = one.hold()
  await bringDown(t, started, offers.slice(0, 4))
  const before = performance.now()
  const statuses = await Promise.all(offers.slice(4, 30).map(ask))
  t.strictSame(new Set(statuses), new Set([503]))
  t.ok(performance.now() - before < 5500, 'sooner than a question may take')
  gate.open()
  let status = 503
  while (status === 503) status = await ask(offers[30])
  t.equal(status, 200)
})

t.test('who asks for little does not wait behind who asks for much', async (t) => {
  const offers = offersNamed('crowd', 60)
  await using started = await start(offers, { max_connections: 2 })
  const { weir, one, ask, asked } = started
  const gate = one.hold({ path: narinfos })
  const [little, ...much] = offers
  const crowd = Promise.all(much.map(ask))
  await gate.reached(2)
  // Until all of them wait for their turn.
  const requests = 'weir_http_requests_total{route="narinfo",status="200"}'
  t.equal(await askMetric(weir, requests), 0)
  const agent = new Agent({ localAddress: '127.0.0.2' })
  const alone = askNarinfo(weir, must(little), { agent })
  await askMetric(weir, requests)
  for (let each = 3; asked(little) === 0 && each < 60; each += 1) {
    gate.admit(1)
    await gate.reached(each)
  }
  t.ok(one.requests.length <= 10, `it came after ${one.requests.length - 1} others`)
  gate.open()
  t.equal((await alone).status, 200)
  t.ok((await crowd).every((status) => status === 200))
})
