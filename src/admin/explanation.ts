import type { RefusalReason, SignatureEvidence, Voucher } from '../policy/verdict.ts'
import type { ServedRecord, TrustEventRecord } from '../ports/evidence.ts'

/** Why a path is answered as it is: plain data, printed by `weir explain` and answered by the API. */
export type Explanation = {
  readonly hash: string
  /** The base name that the chosen claim, or else any, gives it. */
  readonly path: string | null
  readonly policy: { readonly epoch: string; readonly enforce: boolean }
  readonly verdict: 'trusted' | 'refused' | 'absent' | 'unknown'
  /** In a sentence. */
  readonly reason: string
  /** The upstream whose claim is answered. */
  readonly upstream: string | null
  readonly rule: ExplainedRule | null
  /** Report only: why the policy would refuse what is served. */
  readonly wouldRefuse: RefusalReason | null
  /** Where the claims come from: asked just now, remembered since an earlier request, or the store. */
  readonly source: 'live' | 'remembered' | 'stored' | 'nothing'
  readonly upstreams: readonly ExplainedUpstream[]
  readonly stored: readonly ExplainedNar[]
  /** References that would be refused, or that somebody may not vouch for; only what is known without asking, unless live. */
  readonly refusedReferences: readonly { readonly path: string; readonly reason: string }[]
  readonly served: readonly ServedRecord[]
  readonly events: readonly TrustEventRecord[]
}

export type ExplainedRule = {
  readonly name: string
  readonly from: readonly string[] | null
  readonly signedBy: readonly string[] | null
  readonly agree: number
  readonly onDivergence: 'serve' | 'refuse'
}

export type ExplainedUpstream = {
  readonly upstream: string
  readonly answer: 'trusted' | 'refused' | 'absent' | 'unknown' | 'not-asked' | 'awaited'
  /** The refusal's reason, or why it could not tell. */
  readonly reason: string | null
  readonly claim: ExplainedClaim | null
}

export type ExplainedClaim = {
  readonly path: string
  readonly narHash: string
  /** Decimal. */
  readonly narSize: string
  readonly references: number
  readonly ca: string | null
  readonly rule: string | null
  readonly voucher: Voucher | null
  readonly signatures: readonly SignatureEvidence[]
}

export type ExplainedNar = {
  readonly narHash: string
  readonly upstream: string
  readonly witnesses: readonly string[]
  readonly fileBytes: number
  readonly storedAtMs: number
  readonly isTrusted: boolean
}
