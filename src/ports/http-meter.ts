import type { StorePathHash } from '../nix/store-path.ts'

/** What came of a narinfo or a NAR: from the store, from an upstream, refused, certainly not there, or an error. */
export type AnswerResult = 'hit' | 'miss' | 'refused' | 'absent' | 'error'

/** How a client was answered for a path. */
export type Answered = {
  readonly object: 'narinfo' | 'nar'
  readonly result: AnswerResult
  readonly hash: StorePathHash
  /** The store path's base name as the claim says it; `null` where no claim is known. */
  readonly path: string | null
  /** Who vouches for it, or whose claim was refused; empty where nobody is to be named. */
  readonly upstream: string
  /** The rule that matched; `null` where none did. */
  readonly rule: string | null
  /** Why it was refused, or would be if the policy were enforced; `null` where it is trusted, absent or unknown. */
  readonly reason: string | null
  /** The client's address. */
  readonly client: string
}

/** What the routes measure. What is counted by it has labels of finite sets. */
export type HttpMeter = {
  /** A request was answered, or its client went away; the routes are few, `sentBytes` counts headers too. */
  requested(route: string, status: number, sentBytes: number, seconds: number): void
  answered(answered: Answered): void
  /** Bytes of a narinfo or of a NAR's file were sent; a large NAR's are told while it is sent. */
  bodySent(body: Pick<Answered, 'object' | 'result' | 'upstream'>, bytes: number): void
}
