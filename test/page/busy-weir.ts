/** A Weir that has something to show: two upstreams, rules, recalls, and clients that asked. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { formatPublicKey, generateSecretKey } from '../../src/nix/signature.ts'
import { askNarinfo } from '../lab/ask-weir.ts'
import { changed, makeOffer, type Offer, signedBy } from '../lab/forged-offer.ts'
import { type ForgedUpstream, startForgedUpstream } from '../lab/forged-upstream.ts'
import type { Gate } from '../lab/gate.ts'
import { createGate } from '../lab/gate.ts'
import { rawGet } from '../lab/raw-client.ts'
import { startWeir, type WeirProcess } from '../lab/weir-process.ts'

export type BusyWeir = AsyncDisposable & {
  readonly weir: WeirProcess
  readonly config: Parameters<typeof startWeir>[0]['config']
  readonly adminToken: string
  readonly offers: Readonly<Record<OfferName, Offer>>
  /** Fetches a path's narinfo and its NAR, as a client does. */
  readonly fetch: (offer: Offer) => Promise<void>
  /** The large path, of which the upstream gives no more than a part until `gate` is open. */
  readonly large: { readonly offer: Offer; readonly gate: Gate }
}

const nixosKey = generateSecretKey('cache.nixos.org-1')
const acmeKey = generateSecretKey('acme.cachix.org-1')

const names = {
  openssl: 'openssl-3.0.14',
  bash: 'bash-5.2p37',
  python: 'python3-3.12.7',
  curl: 'curl-8.11.0',
  git: 'git-2.47.0-doc',
  ripgrep: 'ripgrep-14.1.1',
} as const

type OfferName = keyof typeof names | 'acmeTool' | 'refused' | 'recalled'

/** What only a careless page would take for more than text. */
export const hostileTexts: Texts = {
  reason: 'CVE-2024-3094 <script>document.title = "owned"</script><img src=x>',
  rule: 'what <script>document.title = "owned"</script> our builders made',
}

/** A recall's reason and a rule's name. */
export type Texts = { readonly reason: string; readonly rule: string }

function makeOffers(): BusyWeir['offers'] {
  const ofNixos = (name: string): Offer => {
    const content = Buffer.alloc(20_000 + name.length * 7_000, `${name}\n`)
    return signedBy(makeOffer({ name, content }), nixosKey)
  }
  const entries = Object.entries(names).map(([key, name]) => [key, ofNixos(name)])
  return {
    ...(Object.fromEntries(entries) as Record<keyof typeof names, Offer>),
    acmeTool: signedBy(makeOffer({ name: 'acme-deploy-4.1' }), acmeKey),
    // Whoever holds acme's key can sign a nix: the rule has it refused.
    refused: signedBy(makeOffer({ name: 'nix-2.24.10' }), acmeKey),
    recalled: ofNixos('xz-5.6.1'),
  }
}

function makeLarge(): Offer {
  // Noise: a NAR that compresses would be through at once.
  const content = Buffer.from(
    Uint32Array.from({ length: 1_000_000 }, (_, i) => Math.imul(i + 1, 2_654_435_761) >>> 0).buffer,
  )
  const offer = makeOffer({ name: 'firefox-132.0.1', content })
  return signedBy(changed(offer, { fileSize: BigInt(offer.nar.length) }), nixosKey)
}

/** Starts it, and has a few clients ask. */
export async function startBusyWeir(texts: Texts): Promise<BusyWeir> {
  await using resources = new AsyncDisposableStack()
  const offers = makeOffers()
  const { acmeTool, refused, ...others } = offers
  const gate = createGate()
  const large = { offer: makeLarge(), gate }
  const nixos = resources.use(await startForgedUpstream(...Object.values(others), large.offer))
  const acme = resources.use(await startForgedUpstream(acmeTool, refused, offers.curl))
  const held = new RegExp(large.offer.narinfo.url)
  nixos.faults.add({ path: held, action: { kind: 'gateAfterBytes', bytes: 2_600_000, gate } })
  const config = configOf(nixos, acme, texts)
  const weir = resources.use(await startWeir({ config }))
  const fetch = async (offer: Offer): Promise<void> => {
    const { narUrl } = await askNarinfo(weir, offer)
    if (narUrl !== '') await rawGet(narUrl)
  }
  for (const offer of [...Object.values(offers), offers.openssl, offers.bash]) await fetch(offer)
  await askNarinfo(weir, makeOffer({ name: 'nobody-has-it-1.0' }))
  const adminToken = (await readFile(join(weir.stateDir, 'admin-token'), 'utf8')).trim()
  const running = resources.move()
  return {
    ...{ weir, config, adminToken, offers, fetch, large },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

function configOf(nixos: ForgedUpstream, acme: ForgedUpstream, { rule, reason }: Texts) {
  return {
    upstreams: [
      { name: 'nixos', url: nixos.url, keys: [formatPublicKey(nixosKey.publicKey)] },
      { name: 'acme', url: acme.url, keys: [formatPublicKey(acmeKey.publicKey)], optional: true },
    ],
    extra: {
      rule: [
        {
          name: 'the root of trust comes from the official cache alone',
          packages: ['@critical'],
          from: ['nixos'],
          signed_by: ['cache.nixos.org-1'],
        },
        { name: rule, paths: ['acme-*'], from: ['acme'] },
      ],
      block: [{ package: 'xz', versions: ['5.6.0', '5.6.1'], reason }],
    },
  }
}
