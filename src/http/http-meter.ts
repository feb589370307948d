import type { Route } from './route.ts'

/** What came of a narinfo or a NAR: from the store, from an upstream, refused, certainly not there, or an error. */
export type AnswerResult = 'hit' | 'miss' | 'refused' | 'absent' | 'error'

/** What the routes measure; every label is of a finite set. */
export type HttpMeter = {
  /** A request was answered, or its client went away; `sentBytes` counts headers too. */
  requested(route: Route['kind'], status: number, sentBytes: number): void
  /** `upstream` is empty where none is to be named. */
  answered(object: 'narinfo' | 'nar', result: AnswerResult, upstream: string): void
}
