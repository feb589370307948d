import type { RefusalReason } from '../policy/verdict.ts'

/** A table rather than a list: the compiler sees that no reason is missing. */
const reasons: Readonly<Record<RefusalReason, null>> = {
  blocked: null,
  'upstream-suspended': null,
  'upstream-not-allowed': null,
  'bad-content-address': null,
  'weak-content-address': null,
  'no-trusted-signature': null,
  'unknown-key': null,
  'no-agreement': null,
  divergence: null,
  'name-conflict': null,
  'unexpected-name': null,
}

/** Every reason for which a claim can be refused. */
export const refusalReasons = Object.keys(reasons) as readonly RefusalReason[]
