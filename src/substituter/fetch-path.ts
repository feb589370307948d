import { narName } from '../nix/nar-key.ts'
import type { StorePathHash } from '../nix/store-path.ts'
import { type AnswerSlot, isOutage } from '../policy/answer.ts'
import type { PathLook } from './closure.ts'
import type { PathFinder } from './finding/find-path.ts'
import type { Inquiry } from './finding/inquiry.ts'
import { namedFile, type NarEncoding } from './finding/named-file.ts'
import { narKeyOf } from './finding/render-narinfo.ts'
import type { TransferFailure } from './fetching/transfer.ts'
import type { Transfers } from './fetching/transfers.ts'

/** What became of a path that was to be stored; `why` is for people. */
export type Fetched =
  /** What it takes on disk; `upstream` is `null` where it was stored already. */
  | { readonly kind: 'stored'; readonly bytes: number; readonly upstream: string | null }
  | { readonly kind: 'missing'; readonly why: string }

export type FetchDeps = {
  readonly finder: Pick<PathFinder, 'stored' | 'inquire'>
  readonly transfers: Pick<Transfers, 'start'>
  /** What NARs are kept in. */
  readonly encoding: () => NarEncoding
}

/** What is known of a path: of what is stored, else what the upstreams say, which are asked. Only what is trusted counts. */
export async function lookAtPath(
  { finder }: Pick<FetchDeps, 'finder'>,
  hash: StorePathHash,
): Promise<PathLook> {
  const [stored] = await finder.stored(hash)
  if (stored !== undefined) {
    return { kind: 'found', narinfo: stored.answer.verdict.narinfo, isStored: true }
  }
  const inquiry = finder.inquire(hash)
  await inquiry.chosen
  const [answer] = inquiry.trusted()
  if (answer === undefined) return { kind: 'missing', why: whyNotTrusted(inquiry) }
  return { kind: 'found', narinfo: answer.verdict.narinfo, isStored: false }
}

/** Brings a path's NAR into the store, as a client's request would, and waits until it is kept. */
export async function fetchPath(
  { finder, transfers, encoding }: FetchDeps,
  hash: StorePathHash,
): Promise<Fetched> {
  const [before] = await finder.stored(hash)
  if (before !== undefined) {
    return { kind: 'stored', bytes: before.stored.diskBytes, upstream: null }
  }
  const inquiry = finder.inquire(hash)
  await inquiry.chosen
  const [answer] = inquiry.trusted()
  if (answer === undefined) return { kind: 'missing', why: whyNotTrusted(inquiry) }
  const key = narKeyOf(answer.verdict.narinfo)
  const { compression } = namedFile(encoding(), answer.claim.narinfo, null)
  const { transfer, ended } = transfers.start({ ...key, compression }, inquiry)
  await ended
  const [after] = await finder.stored(hash)
  if (after !== undefined) {
    return { kind: 'stored', bytes: after.stored.diskBytes, upstream: answer.claim.upstream }
  }
  const { failure } = transfer
  return {
    kind: 'missing',
    why: failure === null ? `${narName(key)} could not be kept` : whyFailed(failure),
  }
}

function whyFailed({ kind, failures }: TransferFailure): string {
  if (kind === 'unwritten') return 'its NAR cannot be written: see the log'
  const said = failures.map(({ upstream, code, message }) => `${upstream}: ${code}, ${message}`)
  return [`its NAR is ${kind}`, ...said].join('; ')
}

function whyNotTrusted({ slots }: Pick<Inquiry, 'slots'>): string {
  const said = slots.flatMap(describe)
  if (said.length === 0) return 'no upstream has it'
  return `${slots.some(isOutage) ? 'could not tell' : 'refused'}: ${said.join('; ')}`
}

function describe({ upstream, answer }: AnswerSlot): readonly string[] {
  switch (answer?.kind) {
    case undefined:
    case 'absent':
    case 'trusted':
      return []
    case 'refused': {
      const { reason, block } = answer.verdict
      return [`${upstream}: ${block === null ? reason : `recalled (${block.reason})`}`]
    }
    case 'unknown':
      return [`${upstream}: ${answer.code}, ${answer.reason}`]
  }
}
