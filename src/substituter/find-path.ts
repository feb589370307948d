import { LRUCache } from 'lru-cache'
import { isSameNar } from '../nix/nar-key.ts'
import type { StorePathHash } from '../nix/store-path.ts'
import type { TrustedAnswer } from '../policy/choose.ts'
import { readClaim } from '../policy/claim.ts'
import { judge } from '../policy/verdict.ts'
import type { Catalog, StoredNar } from '../ports/catalog.ts'
import { type AskDeps, askUpstreams } from './ask-upstreams.ts'
import type { Inquiry } from './inquiry.ts'
import { narKeyOf } from './render-narinfo.ts'

/** A NAR in the store whose claim the policy trusts now. */
export type StoredAnswer = { readonly answer: TrustedAnswer; readonly stored: StoredNar }

/** What Weir knows of paths: from the store, judged again by today's policy, and from the upstreams. */
export type PathFinder = {
  /** The NARs of a path that are stored and trusted, the most preferred upstream's first. */
  stored(hash: StorePathHash): Promise<readonly StoredAnswer[]>
  /** The question to the upstreams: running, remembered, or asked now. */
  inquire(hash: StorePathHash): Inquiry
}

export type FindDeps = AskDeps & { readonly catalog: Catalog }

/** How long a trusted claim is believed before its upstreams are asked again. */
const rememberedMs = 10 * 60_000
const maxRememberedBytes = 32 * 1024 * 1024

export function createPathFinder(deps: FindDeps): PathFinder {
  const inquiries = new Map<StorePathHash, Inquiry>()
  const remembered = new LRUCache<StorePathHash, Inquiry>({
    maxSize: maxRememberedBytes,
    ttl: rememberedMs,
    sizeCalculation: (inquiry) => inquiryBytes(inquiry),
  })

  const ask = (hash: StorePathHash): Inquiry => {
    const inquiry = askUpstreams(deps, hash)
    inquiries.set(hash, inquiry)
    void inquiry.chosen.then((choice) => {
      inquiries.delete(hash)
      if (choice.kind === 'trusted') remembered.set(hash, inquiry)
    })
    return inquiry
  }

  return {
    inquire: (hash) => inquiries.get(hash) ?? remembered.get(hash) ?? ask(hash),
    async stored(hash) {
      const found = await findStored(deps, hash)
      const preference = deps.policy.upstreams.map(({ name }) => name)
      return found
        .flatMap((stored) => {
          const answer = judgeStored(deps, stored)
          return answer === null ? [] : [{ answer, stored }]
        })
        .sort(
          (a, b) => preference.indexOf(a.stored.upstream) - preference.indexOf(b.stored.upstream),
        )
    },
  }
}

/** A catalog that fails costs what is stored, and nothing else: the upstreams are still there. */
async function findStored(
  { catalog, log }: FindDeps,
  hash: StorePathHash,
): Promise<readonly StoredNar[]> {
  try {
    return await catalog.find(hash)
  } catch (error) {
    log.error({ event: 'catalog.failed', err: error })
    return []
  }
}

/** Judges a stored claim again, from its own signatures: it is worth what today's policy says. */
function judgeStored({ policy }: FindDeps, stored: StoredNar): TrustedAnswer | null {
  const reading = readClaim(policy, stored.upstream, stored.key.storePathHash, stored.claim)
  if (reading.kind === 'malformed') return null
  const { claim } = reading
  if (!isSameNar(narKeyOf(claim.narinfo), stored.key)) return null
  const verdict = judge(policy, claim)
  return verdict.kind === 'trusted' ? { kind: 'trusted', claim, verdict } : null
}

/** About what an inquiry takes in memory: a parsed claim is a few times its text. */
function inquiryBytes(inquiry: Inquiry): number {
  const texts = inquiry.slots.map(({ answer }) =>
    answer?.kind === 'trusted' || answer?.kind === 'refused' ? answer.claim.text.length : 0,
  )
  return 500 + 5 * texts.reduce((sum, bytes) => sum + bytes, 0)
}
