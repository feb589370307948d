import { formatPublicKey, generateSecretKey, type SecretKey } from '../../src/nix/signature.ts'
import { makeOffer, noise, type Offer, signedBy } from '../lab/forged-offer.ts'
import { type ForgedUpstream, startForgedUpstream } from '../lab/forged-upstream.ts'
import type { WeirConfigOptions } from '../lab/weir-config.ts'
import { startWeir, type WeirProcess } from '../lab/weir-process.ts'

type Config = Omit<WeirConfigOptions, 'cacheDir' | 'stateDir'>

/** Two Weirs before the same upstreams. */
export type Scene = AsyncDisposable & {
  /** The one that is preferred, and is believed. */
  readonly official: ForgedUpstream
  /** The one that will lie. */
  readonly acme: ForgedUpstream
  readonly officialKey: SecretKey
  readonly acmeKey: SecretKey
  /** It enforces its policy, and has room. */
  readonly main: WeirProcess
  readonly mainConfig: Config
  /** It only reports, and has room for a few NARs. */
  readonly small: WeirProcess
  /** A path of official's, of some 40,000 bytes, that nobody asked for yet. */
  readonly nextPath: () => Promise<Offer>
}

const narBytes = 40_000

/** Starts two Weirs, their upstreams, and one upstream that is down. */
export async function openScene(): Promise<Scene> {
  await using started = new AsyncDisposableStack()
  const [officialKey, acmeKey] = [generateSecretKey('official-1'), generateSecretKey('acme-1')]
  const official = started.use(await startForgedUpstream())
  const acme = started.use(await startForgedUpstream())
  const down = started.use(await startForgedUpstream())
  await down.stop()
  const upstreams = [
    { name: 'official', url: official.url, keys: [formatPublicKey(officialKey.publicKey)] },
    { name: 'acme', url: acme.url, keys: [formatPublicKey(acmeKey.publicKey)], optional: true },
  ]
  const mainConfig = {
    upstreams: [
      ...upstreams,
      {
        ...{ name: 'down', url: down.url, optional: true },
        keys: [formatPublicKey(generateSecretKey('down-1').publicKey)],
      },
    ],
    extra: {
      // What is asked for twice has been fetched by somebody who asked for it.
      nar: { read_ahead: 0 },
      rule: [
        { name: 'the root of trust', packages: ['@critical'], from: ['official'] },
        { name: 'two builders', packages: ['firefox'], from: ['official', 'acme'], agree: 2 },
      ],
    },
  }
  const smallConfig = {
    upstreams,
    extra: {
      cache: { max_size: 8 * narBytes },
      policy: { enforce: false },
      rule: [{ name: 'to come', packages: ['glibc'], from: ['acme'] }],
    },
  }
  const weirs = [startWeir({ config: mainConfig }), startWeir({ config: smallConfig })] as const
  const [main, small] = await Promise.all(weirs)
  started.use(main)
  started.use(small)
  let paths = 0
  const kept = started.move()
  return {
    ...{ official, acme, officialKey, acmeKey, main, mainConfig, small },
    nextPath: async () => {
      paths += 1
      const name = `path-${paths}.0`
      const offer = signedBy(makeOffer({ name, content: noise(name, narBytes) }), officialKey)
      await official.put(offer)
      return offer
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}

/** As Prometheus calls it. */
export function instanceOf({ port }: WeirProcess): string {
  return `127.0.0.1:${port}`
}
