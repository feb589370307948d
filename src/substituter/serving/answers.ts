import type { AnswerSlot } from '../../policy/answer.ts'
import type { ServedNar } from '../../ports/evidence.ts'
import type { RefusalReason } from '../../policy/verdict.ts'
import type { NarBody } from '../fetching/nar-body.ts'
import type { TransferFailure } from '../fetching/transfer.ts'

/** Why a path has no trusted claim: nobody has it or all were refused, or somebody could not tell. */
export type NoClaim = {
  readonly kind: 'absent' | 'unknown'
  /** What each upstream said. */
  readonly slots: readonly AnswerSlot[]
  /** Upstreams that were not asked, because they lied or an operator said so. */
  readonly suspended: readonly string[]
}

export type NarinfoAnswer =
  | {
      readonly kind: 'found'
      /** Its text. */
      readonly body: string
      /** The store path's base name. */
      readonly path: string
      readonly upstream: string
      readonly rule: string | null
      /** Report only: why the policy would have refused it. */
      readonly wouldRefuse: RefusalReason | null
      readonly isStored: boolean
    }
  | NoClaim

export type NarAnswer =
  | {
      readonly kind: 'found'
      readonly body: NarBody
      readonly isStored: boolean
      /** What it is, and who answers for it. */
      readonly served: ServedNar
    }
  | NoClaim
  /** Trusted claims there are, but none of their files was the NAR. */
  | { readonly kind: 'failed'; readonly failure: TransferFailure }
  /** The resume of a body that was wrong. */
  | { readonly kind: 'broken' }

/** A NAR that would be answered; its ETag and size in bytes where they are known. */
export type NarPeek = {
  readonly kind: 'found'
  readonly etag: string | null
  readonly size: number | null
}

/** A request for a NAR. */
export type NarRequest = {
  /** A part of the NAR is asked for, to go on from an earlier body. */
  readonly isResume: boolean
  /** The client's address. */
  readonly client: string
  /** Called as soon as the NAR is stored, or its transfer runs: what else is to be done comes behind it. */
  readonly begun?: () => void
}
