import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { openSqliteCatalog } from '../../src/store/sqlite/sqlite-catalog.ts'
import { fetchNar } from '../fakes/substituter-client.ts'
import { createWorld } from '../fakes/substituter-world.ts'
import { type TestClaim, upstreamWith } from '../fakes/test-claims.ts'

/** Stores the NAR of a claim in `cache`, with its record in `state`, below a folder: as a Weir leaves them that ended. */
export async function fillStore(dir: string, claim: TestClaim): Promise<void> {
  await mkdir(join(dir, 'state'), { recursive: true })
  const catalog = openSqliteCatalog(join(dir, 'state', 'catalog.sqlite'))
  const made = await createWorld({ dir, upstreams: [upstreamWith('a', claim)], catalog })
  await fetchNar(made, claim.key)
  await made.transfers.idle()
  await made.keeper.flush()
  await catalog.close()
}
