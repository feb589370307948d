import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { narSha256Of, type Offer, pathOf } from './forged-offer.ts'
import type { NixClient } from './nix-client.ts'

/** One try a file: a failure that is there to stay need not be waited for. */
const impatient = ['--option', 'download-attempts', '1']

/** Substitutes paths from a URL; throws with the difference unless the client gets all of them, with exactly these NARs. */
export async function mustDeliver(
  client: NixClient,
  url: string,
  offers: readonly Offer[],
): Promise<void> {
  await client.forgetNarinfos()
  const { code, stderr } = await client.realise(offers.map(pathOf), {
    substituters: [url],
    extraOptions: impatient,
  })
  if (code !== 0) throw new Error(`not delivered (exit ${String(code)}):\n${stderr}`)
  await mustHold(client, offers)
}

/** Throws unless the client's store has these paths, with exactly these NARs. */
export async function mustHold(client: NixClient, offers: readonly Offer[]): Promise<void> {
  for (const offer of offers) {
    if (!(await client.has(pathOf(offer)))) throw new Error(`${pathOf(offer)} is not there`)
    const got = await client.narSha256(pathOf(offer))
    const expected = narSha256Of(offer)
    if (got !== expected) throw new Error(`${pathOf(offer)}: NAR ${got} in place of ${expected}`)
  }
}

/** Tries to substitute a path from a URL; throws unless the command fails and nothing at all came into the client's store. */
export async function mustRefuse(client: NixClient, url: string, path: string): Promise<void> {
  await client.forgetNarinfos()
  const before = await stored(client)
  const { code } = await client.realise([path], {
    substituters: [url],
    extraOptions: impatient,
  })
  const after = await stored(client)
  const came = after.filter((name) => !before.includes(name))
  if (came.length > 0) throw new Error(`delivered for ${path}: ${came.join(', ')}`)
  if (code === 0) throw new Error(`${path}: the command succeeded`)
  if (code === null) throw new Error(`${path}: the command was killed`)
}

/** What lies in the client's store, registered or not; hidden files are Nix's own. */
async function stored({ storeDir }: NixClient): Promise<readonly string[]> {
  const names = await readdir(join(storeDir, 'nix', 'store')).catch(() => [])
  return names.filter((name) => !name.startsWith('.') && !name.endsWith('.lock'))
}
