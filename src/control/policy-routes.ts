import type { Admin } from '../admin/admin.ts'
import type { ActionName, Actions } from '../admin/actions.ts'
import { parseStorePathHash, type StoreDir, type StorePathHash } from '../nix/store-path.ts'
import { formatBlocks, readBlocks } from '../settings/block-schema.ts'
import { BadRequestError } from '../admin/bad-request-error.ts'
import { type ReceivedRequest, textOf } from './control-request.ts'

export type PolicyRouteDeps = {
  readonly admin: Admin
  readonly actions: Actions
  readonly storeDir: StoreDir
}

/** The actions whose parameters are in the query; a recall is a `[[block]]` in the body. */
const actionsByRoute: ReadonlyMap<string, Exclude<ActionName, 'recall' | 'lift'>> = new Map([
  ['POST /reload', 'reload'],
  ['POST /suspend', 'suspend'],
  ['POST /resume', 'resume'],
  ['POST /forget', 'forget'],
  ['POST /pin', 'pin'],
  ['POST /unpin', 'unpin'],
])

/** What is asked of the policy, and what changes something; `undefined` where a request is of something else. */
export function answerPolicy(
  { admin, actions, storeDir }: PolicyRouteDeps,
  { route, url, text }: ReceivedRequest,
): unknown {
  const action = actionsByRoute.get(route)
  if (action !== undefined) return actions[action](Object.fromEntries(url.searchParams))
  switch (route) {
    case 'GET /upstreams':
      return admin.upstreams()
    case 'GET /recalls':
      return { toml: formatBlocks(admin.recalls()) }
    case 'POST /recall':
      return admin.recall(oneBlock(text, storeDir))
    case 'POST /lift':
      return admin.lift(oneBlock(text, storeDir)).then((isLifted) => ({ isLifted }))
    case 'GET /explain':
      return admin.explain(hashOf(url), { live: url.searchParams.has('live'), to: 'all' })
    default:
      return undefined
  }
}

function hashOf(url: URL): StorePathHash {
  const hash = parseStorePathHash(textOf(url, 'hash'))
  if (hash === null) throw new BadRequestError('hash: 32 characters of a store path')
  return hash
}

function oneBlock(toml: string, storeDir: StoreDir) {
  const [block, ...more] = readBlocks(toml, 'the recall', storeDir)
  if (block === undefined || more.length > 0) throw new BadRequestError('say one recall')
  return block
}
