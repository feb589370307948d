import { join } from 'node:path'
import { describeBlocked } from '../admin/describe-blocked.ts'
import { askControl } from '../control/control-client.ts'
import type { Block } from '../policy/block.ts'
import { readBlocks } from '../settings/block-schema.ts'
import type { Settings } from '../settings/settings.ts'
import { openRecalls } from '../state/recalls.ts'
import { formatTable } from './columns.ts'
import type { CliWorld } from './command.ts'

/** Prints the recalls: those of the Weir that runs, else those that the state folder keeps for it, and the configuration's. */
export async function listRecalls(
  { out }: CliWorld,
  settings: Settings,
  { isJson }: { readonly isJson: boolean },
): Promise<number> {
  const list = [
    ...(await keptRecalls(settings)).map((block) => ({ block, from: 'weir recall' })),
    ...settings.blocks.map((block) => ({ block, from: 'the configuration' })),
  ].map(({ block: { blocked, reason }, from }) => ({
    recalled: describeBlocked(blocked),
    ...{ from, reason },
  }))
  if (isJson) {
    out(`${JSON.stringify(list, null, 2)}\n`)
  } else if (list.length === 0) {
    out('nothing is recalled\n')
  } else {
    const rows = list.map(({ recalled, from, reason }) => [recalled, from, reason])
    out(formatTable({ head: ['RECALLED', 'BY', 'REASON'], rows, widths: [null, null, 50] }))
  }
  return 0
}

async function keptRecalls({ state, server }: Settings): Promise<readonly Block[]> {
  const request = { method: 'GET', path: '/recalls' } as const
  const answer = await askControl<{ readonly toml: string }>(state.dir, request)
  if (answer !== null) return readBlocks(answer.toml, 'the running Weir', server.storeDir)
  return (await openRecalls(join(state.dir, 'recalls.toml'), server.storeDir)).blocks()
}
