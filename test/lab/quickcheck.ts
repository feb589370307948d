import type { NixClient } from './nix-client.ts'

/**
 * Empties the client and substitutes the roots (the lab's small ones unless told) from a URL; throws with the
 * difference unless the client gets, and verifies, exactly what the lab built.
 */
export async function quickcheck(
  client: NixClient,
  url: string,
  roots: readonly string[] = client.lab.smallRoots,
): Promise<void> {
  await client.wipe()
  const realised = await client.realise(roots, { substituters: [url] })
  if (realised.code !== 0) throw new Error(`substitution from ${url} failed:\n${realised.stderr}`)
  const verified = await client.verify(roots)
  if (verified.code !== 0) throw new Error(`the store from ${url} is bad:\n${verified.stderr}`)
  for (const path of roots) {
    const got = await client.narSha256(path)
    const built = client.lab.narSha256(path)
    if (got !== built)
      throw new Error(`${path} from ${url}: NAR ${got}, but the lab built ${built}`)
  }
}
