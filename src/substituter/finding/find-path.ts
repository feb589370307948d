import { LRUCache } from 'lru-cache'
import type { StorePathHash } from '../../nix/store-path.ts'
import type { Lie } from '../../policy/names.ts'
import type { TrustedAnswer } from '../../policy/answer.ts'
import type { Catalog, StoredNar } from '../../ports/catalog.ts'
import { type AskDeps, askUpstreams, weirItself } from './ask-upstreams.ts'
import { expiryBy } from '../expiry.ts'
import { createExpectedNames, type ExpectedNames } from './expected-names.ts'
import type { Inquiry } from './inquiry.ts'
import { isOutOfReach } from './reach.ts'
import { judgeStored, type StoredAnswer } from './stored-answers.ts'
import { tellFindings } from './tell-findings.ts'

/** What Weir knows of paths: from the store, judged again by today's policy, and from the upstreams. */
export type PathFinder = {
  /** The NARs of a path that are stored and trusted, the most preferred one first. */
  stored(hash: StorePathHash): Promise<readonly StoredAnswer[]>
  /** Everything that is stored of a path, trusted or not. */
  records(hash: StorePathHash): Promise<readonly StoredNar[]>
  /**
   * The question to the upstreams: running, remembered, or asked now, on behalf of a client or else of Weir itself; anew where all who
   * answered are down.
   */
  inquire(hash: StorePathHash, client?: string): Inquiry
  /** The question to the upstreams, where it runs or is remembered. */
  known(hash: StorePathHash): Inquiry | null
  /**
   * The last question about a path that brought no trusted claim, rather one that those answered who answer no more: it is asked again for
   * every answer.
   */
  fruitless(hash: StorePathHash): Inquiry | null
  /** What trusted references say of the names of hashes. */
  readonly names: ExpectedNames
  /** Forgets what was judged by an earlier policy. */
  policyChanged(): void
  /** Forgets what upstreams said of a path: whoever wants it next asks them anew. */
  forget(hash: StorePathHash): Forgotten
}

/** What was known of a path before it was forgotten. */
export type Forgotten = {
  /** The upstreams that were believed not to have it. */
  readonly absentAt: readonly string[]
  /** Whether somebody's trusted claim was remembered, or a question ran. */
  readonly isRemembered: boolean
}

export type FindDeps = AskDeps & {
  readonly catalog: Catalog
  /** An upstream was caught lying. */
  readonly lied: (hash: StorePathHash, lie: Lie) => void
  /** Of a NAR of more bytes all who may have it are wanted beforehand: it goes on from another one where one breaks off. */
  readonly verifyFirstBytes: () => number
  /** A choice that was answered before all had answered is another one now. */
  readonly reconsidered: (hash: StorePathHash) => void
}

/** What goes with one question. */
type Asked = {
  /** Whether the policy is still the one that said whom to ask. */
  readonly isCurrent: () => boolean
  /** What was told of its findings. */
  readonly told: Set<string>
}

/** How long a trusted claim is believed before its upstreams are asked again … */
const rememberedMs = 10 * 60_000
/** … and how long where a better one could not tell. */
const uncertainMs = 30_000
const maxFruitlessBytes = 4 * 1024 * 1024
const maxRememberedBytes = 32 * 1024 * 1024

export function createPathFinder(deps: FindDeps): PathFinder {
  const inquiries = new Map<StorePathHash, Inquiry>()
  const names = createExpectedNames()
  const remembered = new LRUCache<StorePathHash, Inquiry>({
    maxSize: maxRememberedBytes,
    ttl: rememberedMs,
    ...expiryBy(deps.clock),
    sizeCalculation: (inquiry) => inquiryBytes(inquiry),
  })

  const fruitless = new LRUCache<StorePathHash, Inquiry>({
    maxSize: maxFruitlessBytes,
    ttl: rememberedMs,
    ...expiryBy(deps.clock),
    sizeCalculation: (inquiry) => inquiryBytes(inquiry),
  })

  const follow = async (inquiry: Inquiry, hash: StorePathHash, asked: Asked): Promise<void> => {
    const choice = await inquiry.chosen
    if (inquiries.get(hash) === inquiry) inquiries.delete(hash)
    if (choice.kind === 'trusted' && asked.isCurrent()) {
      names.note(deps.policy(), choice.answer)
      const ttl = inquiry.views.serving.isCertain ? rememberedMs : uncertainMs
      remembered.set(hash, inquiry, { ttl })
      fruitless.delete(hash)
    }
    if (choice.kind === 'trusted' && isLarge(choice.answer)) void inquiry.everybody()
    await conclude(inquiry, hash, asked)
  }

  const isLarge = ({ verdict: { narinfo } }: TrustedAnswer): boolean =>
    narinfo.narSize > BigInt(deps.verifyFirstBytes())

  /** Once all have answered who were asked. */
  const conclude = async (inquiry: Inquiry, hash: StorePathHash, asked: Asked): Promise<void> => {
    const choice = await inquiry.chosen
    await inquiry.settled
    if (!asked.isCurrent()) return
    // Who is down says nothing new, whatever others say: what they said before it still counts.
    if (choice.kind !== 'trusted' && tellsAsMuch(inquiry, fruitless.get(hash))) {
      fruitless.set(hash, inquiry)
    }
    // Late answers count for the memory that it takes.
    if (remembered.get(hash) === inquiry) {
      // 0 would be for ever.
      remembered.set(hash, inquiry, { ttl: Math.max(1, remembered.getRemainingTTL(hash)) })
    }
    tellFindings(deps, hash, inquiry, asked.told)
    // A late answer may still have proved the choice wrong. Who asked anew would get the same wrong one first.
    const { choice: now } = inquiry.views.serving
    if (choice.kind !== 'trusted') return
    if (now.kind === 'trusted' && now.answer.claim === choice.answer.claim) return
    if (now.kind !== 'trusted' && remembered.get(hash) === inquiry) remembered.delete(hash)
    deps.reconsidered(hash)
  }

  const ask = (hash: StorePathHash, client: string): Inquiry => {
    const failed = (error: unknown): void => {
      if (inquiries.get(hash) === inquiry) inquiries.delete(hash)
      deps.log.error({ event: 'internal.error', err: error })
    }
    const asked: Asked = {
      isCurrent: () => inquiry.askedUnder === deps.policy(),
      told: new Set(),
    }
    const inquiry = askUpstreams(deps, {
      ...{ hash, client },
      expected: () => names.expected(hash),
      settledAgain: () => void conclude(inquiry, hash, asked).catch(failed),
    })
    inquiries.set(hash, inquiry)
    void follow(inquiry, hash, asked).catch(failed)
    return inquiry
  }

  const known = (hash: StorePathHash): Inquiry | null =>
    inquiries.get(hash) ?? remembered.get(hash) ?? null
  const reachable = (hash: StorePathHash): Inquiry | null => {
    const inquiry = remembered.get(hash)
    return inquiry === undefined || isOutOfReach(deps.reach, inquiry) ? null : inquiry
  }
  const records = (hash: StorePathHash): Promise<readonly StoredNar[]> => findStored(deps, hash)

  return {
    names,
    known,
    fruitless: (hash) => fruitless.get(hash) ?? null,
    records,
    inquire: (hash, client = weirItself) =>
      inquiries.get(hash) ?? reachable(hash) ?? ask(hash, client),
    async stored(hash) {
      const found = await records(hash)
      return judgeStored(deps.policy(), found, names.expected(hash))
    },
    policyChanged() {
      // Who still waits for one of these asks again, as the new policy wants it asked.
      inquiries.clear()
      remembered.clear()
      fruitless.clear()
      names.clear()
    },
    forget(hash) {
      const isRunning = inquiries.delete(hash)
      const isRemembered = remembered.delete(hash)
      return {
        absentAt: deps.absences.forget(hash),
        isRemembered: isRunning || isRemembered,
      }
    },
  }
}

/** Whether everybody said something of the path who said something the last time. */
function tellsAsMuch(inquiry: Inquiry, last: Inquiry | undefined): boolean {
  const telling = ({ slots }: Inquiry): readonly string[] =>
    slots.flatMap(({ upstream, answer }) =>
      answer === null || answer.kind === 'unknown' ? [] : [upstream],
    )
  const now = new Set(telling(inquiry))
  return last === undefined || telling(last).every((upstream) => now.has(upstream))
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

/** About what an inquiry takes in memory: a parsed claim is a few times its text. */
function inquiryBytes(inquiry: Inquiry): number {
  const texts = inquiry.slots.map(({ answer }) =>
    answer?.kind === 'trusted' || answer?.kind === 'refused' ? answer.claim.text.length : 0,
  )
  return 500 + 5 * texts.reduce((sum, bytes) => sum + bytes, 0)
}
