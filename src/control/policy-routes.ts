import type { Admin } from '../admin/admin.ts'
import { parseStorePathHash, type StoreDir, type StorePathHash } from '../nix/store-path.ts'
import { formatBlocks, readBlocks } from '../settings/block-schema.ts'
import { logLevels, parseLogLevel } from '../settings/log-level.ts'
import { BadRequestError } from './bad-request-error.ts'
import { type ReceivedRequest, textOf } from './control-request.ts'

export type PolicyRouteDeps = { readonly admin: Admin; readonly storeDir: StoreDir }

/** What is asked of the policy; `undefined` where a request is of something else. */
export function answerPolicy(
  { admin, storeDir }: PolicyRouteDeps,
  { route, url, text }: ReceivedRequest,
): unknown {
  switch (route) {
    case 'POST /reload':
      return admin.reload()
    case 'GET /upstreams':
      return admin.upstreams()
    case 'POST /suspend':
      return isNew(admin.suspend(textOf(url, 'upstream'), textOf(url, 'why')))
    case 'POST /resume':
      return isNew(admin.resume(textOf(url, 'upstream')))
    case 'GET /recalls':
      return { toml: formatBlocks(admin.recalls()) }
    case 'POST /recall':
      return admin.recall(oneBlock(text, storeDir))
    case 'POST /lift':
      return admin.lift(oneBlock(text, storeDir)).then((isLifted) => ({ isLifted }))
    case 'GET /explain':
      return admin.explain(hashOf(url), { live: url.searchParams.has('live'), to: 'all' })
    case 'GET /log-level':
      return { level: admin.logLevel() }
    case 'POST /log-level': {
      const level = parseLogLevel(textOf(url, 'level'))
      if (level === null) throw new BadRequestError(`level: one of ${logLevels.join(', ')}`)
      admin.setLogLevel(level)
      return { level }
    }
    case 'POST /forget':
      return admin.forget(hashOf(url))
    default:
      return undefined
  }
}

function hashOf(url: URL): StorePathHash {
  const hash = parseStorePathHash(textOf(url, 'hash'))
  if (hash === null) throw new BadRequestError('hash: 32 characters of a store path')
  return hash
}

async function isNew(done: Promise<boolean>): Promise<{ readonly isNew: boolean }> {
  return { isNew: await done }
}

function oneBlock(toml: string, storeDir: StoreDir) {
  const [block, ...more] = readBlocks(toml, 'the recall', storeDir)
  if (block === undefined || more.length > 0) throw new BadRequestError('say one recall')
  return block
}
