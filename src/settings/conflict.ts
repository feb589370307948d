import { type KeyPath } from './key-path.ts'

/** A mistake that no key has by itself: where, and the two parts of a sentence about it. */
export type Conflict = {
  readonly path: KeyPath
  readonly found: string
  readonly allowed: string
  /** The known name that an unknown one resembles. */
  readonly nearest?: string | null
}
