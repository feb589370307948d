import { readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { remoteUpkeep } from '../../src/control/remote-upkeep.ts'
import { generateSecretKey } from '../../src/nix/signature.ts'
import { askNarinfo, reloadWeir } from '../lab/ask-weir.ts'
import {
  changed,
  makeOffer,
  type Offer,
  renamed,
  signedBy,
  withContent,
} from '../lab/forged-offer.ts'
import { rawGet } from '../lab/raw-client.ts'
import type { Scene } from './scene.ts'

/** Everything goes wrong once that a dashboard has a panel for. */
export async function makeTrouble(scene: Scene): Promise<void> {
  await failOnce(scene)
  await refuse(scene)
  await differ(scene)
  await giveWrongNar(scene)
  await lie(scene)
  await wouldRefuse(scene)
  await damageStored(scene)
  await reload(scene)
  await failToStore(scene)
}

const byAcme = (scene: Scene, offer: Offer) =>
  signedBy(withContent(changed(offer, { signatures: [] }), "acme's own"), scene.acmeKey)

/** A question that succeeds when it is put again, and one that does not; what nobody has, twice. */
async function failOnce({ official, officialKey, main }: Scene): Promise<void> {
  const [once, always] = ['retried-1.0', 'broken-1.0'].map((name) =>
    signedBy(makeOffer({ name }), officialKey),
  ) as [Offer, Offer]
  await official.put(once, always)
  const fails = { kind: 'status', status: 503 } as const
  official.faults.add({ path: new RegExp(once.narinfo.storePath.hash), times: 1, action: fails })
  official.faults.add({ path: new RegExp(always.narinfo.storePath.hash), action: fails })
  await mustAnswer(main, once, 200)
  await mustAnswer(main, always, 503)
  const missing = makeOffer({ name: 'missing-1.0' })
  await mustAnswer(main, missing, 404)
  await mustAnswer(main, missing, 404)
}

/** An upstream that may not vouch for a name, and a signature that somebody made without the key. */
async function refuse({ official, acme, acmeKey, main }: Scene): Promise<void> {
  const theirs = signedBy(makeOffer({ name: 'nix-2.18.1', seed: 'theirs' }), acmeKey)
  await acme.put(theirs)
  await mustAnswer(main, theirs, 404)
  const forged = signedBy(makeOffer({ name: 'forged-1.0' }), generateSecretKey('official-1'))
  await official.put(forged)
  await mustAnswer(main, forged, 404)
}

/** Two upstreams differ, where the rule wants them to agree and where none does. */
async function differ(scene: Scene): Promise<void> {
  const { official, acme, officialKey, main } = scene
  const [firefox, other] = ['firefox-130.0', 'other-1.0'].map((name) =>
    signedBy(makeOffer({ name }), officialKey),
  ) as [Offer, Offer]
  await official.put(firefox, other)
  await acme.put(byAcme(scene, firefox), byAcme(scene, other))
  await mustAnswer(main, firefox, 404)
  // The preferred upstream is waited for, and so the other one is heard.
  const { hash, baseName } = other.narinfo.storePath
  const gate = official.hold({ path: new RegExp(hash) })
  const asked = mustAnswer(main, other, 200)
  await main.waitForLog(
    'claim.trusted',
    ({ upstream, path }) => upstream === 'acme' && String(path).endsWith(baseName),
  )
  gate.open()
  await asked
}

/** A NAR that is not what its narinfo promises, and nobody else's to be had. */
async function giveWrongNar({ official, officialKey, main }: Scene): Promise<void> {
  const offer = signedBy(makeOffer({ name: 'wrong-1.0' }), officialKey)
  const { nar } = makeOffer({ name: 'another-1.0' })
  await official.put({ ...offer, nar })
  const { narUrl } = await askNarinfo(main, offer)
  const { status } = await rawGet(narUrl)
  if (status < 500) throw new Error(`a wrong NAR: ${status}`)
}

/** A lie about a name: the upstream is suspended. */
async function lie(scene: Scene): Promise<void> {
  const nix = signedBy(makeOffer({ name: 'nix-2.18.2' }), scene.officialKey)
  await scene.official.put(nix)
  await scene.acme.put(byAcme(scene, renamed(nix, 'harmless')))
  await mustAnswer(scene.main, nix, 200)
  await scene.main.waitForLog('upstream.suspended')
}

/** What the policy that only reports would refuse. */
async function wouldRefuse({ official, officialKey, small }: Scene): Promise<void> {
  const glibc = signedBy(makeOffer({ name: 'glibc-2.39' }), officialKey)
  await official.put(glibc)
  await mustAnswer(small, glibc, 200)
}

/** A stored NAR that the disk damaged, and that is found when everything is verified. */
async function damageStored({ main }: Scene): Promise<void> {
  const folder = join(main.cacheDir, 'nar')
  const [file] = await readdir(folder)
  if (file === undefined) throw new Error('nothing is stored')
  await writeFile(join(folder, file), 'damaged')
  const request = { selection: [], bytesPerSecond: null }
  const signal = new AbortController().signal
  for await (const event of remoteUpkeep(main.stateDir).verify(request, signal)) {
    if (event.kind === 'wrong') return
  }
  throw new Error('what is damaged was not found')
}

/** A configuration that is taken, and one that is refused. */
async function reload({ main, mainConfig }: Scene): Promise<void> {
  await reloadWeir(main, mainConfig)
  await reloadWeir(main, 'this is no configuration', 'settings.refused')
}

/** A NAR that cannot be written, since the folder for what is on its way is none. */
async function failToStore({ small, nextPath }: Scene): Promise<void> {
  const folder = join(small.cacheDir, '.partial')
  await rename(folder, `${folder}-aside`)
  await writeFile(folder, '')
  const { narUrl } = await askNarinfo(small, await nextPath())
  await rawGet(narUrl)
  await small.waitForLog('transfer.failed')
  await rm(folder)
  await rename(`${folder}-aside`, folder)
}

async function mustAnswer(weir: Scene['main'], offer: Offer, status: number): Promise<void> {
  const answer = await askNarinfo(weir, offer)
  if (answer.status === status) return
  const { name } = offer.narinfo.storePath
  throw new Error(`${name}: ${answer.status}, not ${status}: ${answer.text}`)
}
