import { parseHash } from '../../src/nix/hash.ts'
import { narSha256Of, type Offer, pathOf } from '../lab/forged-offer.ts'
import type { NixClient } from '../lab/nix-client.ts'

/** Throws unless the client's store has these paths with these NARs' hashes, which it verified as it took them: one command for all. */
export async function mustHoldAll(client: NixClient, offers: readonly Offer[]): Promise<void> {
  const { storeDir, run } = client
  const paths = offers.map(pathOf)
  const command = ['nix', 'path-info', '--store', storeDir, '--json', ...paths] as const
  const { code, stdout, stderr } = await run(command)
  if (code !== 0) throw new Error(`the client has not got everything:\n${stderr}`)
  const infos = JSON.parse(stdout) as readonly {
    readonly path: string
    readonly narHash?: string
  }[]
  for (const offer of offers) {
    const { narHash = '' } = infos.find(({ path }) => path === pathOf(offer)) ?? {}
    const got = parseHash(narHash)
    const sha256 = got === null ? narHash : Buffer.from(got.bytes).toString('hex')
    if (sha256 !== narSha256Of(offer)) throw new Error(`${pathOf(offer)}: NAR ${sha256}`)
  }
}
