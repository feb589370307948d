import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { formatNarinfo } from '../../src/nix/narinfo.ts'
import { storeDir } from '../nix/fixtures.ts'
import type { Offer } from './forged-offer.ts'
import { startUpstream, type UpstreamServer } from './upstream-server.ts'

/** An upstream that offers what the test makes up. */
export type ForgedUpstream = UpstreamServer & {
  /** Offers these from now on, in place of what it offered for the same hashes. */
  readonly put: (...offers: readonly Offer[]) => Promise<void>
  /** Offers a path with this for its narinfo, whatever it is; its NAR as it is. */
  readonly putText: (offer: Offer, narinfo: string) => Promise<void>
}

/** Starts an upstream that offers these paths. */
export async function startForgedUpstream(...offers: readonly Offer[]): Promise<ForgedUpstream> {
  const root = await mkdtemp(join(tmpdir(), 'weir-forged-'))
  const write = async (path: string, content: string | Buffer) => {
    await mkdir(dirname(join(root, path)), { recursive: true })
    await writeFile(join(root, path), content)
  }
  const putText = async ({ narinfo, nar }: Offer, text: string) => {
    await write(narinfo.url, nar)
    await write(`${narinfo.storePath.hash}.narinfo`, text)
  }
  const put = async (...more: readonly Offer[]) => {
    for (const offer of more) await putText(offer, formatNarinfo(offer.narinfo, storeDir))
  }
  await write('nix-cache-info', `StoreDir: ${storeDir}\n`)
  await put(...offers)
  const server = await startUpstream({ root })
  return {
    ...server,
    ...{ put, putText },
    [Symbol.asyncDispose]: async () => {
      await server.close()
      await rm(root, { recursive: true, force: true })
    },
  }
}
