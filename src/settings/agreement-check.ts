import { encodeBase64 } from '../nix/base64.ts'
import { type PublicKey } from '../nix/signature.ts'
import { partyOf } from '../policy/agreement.ts'
import { largestMatching } from '../policy/largest-matching.ts'
import { type Conflict } from './conflict.ts'
import { keysByName } from './key-checks.ts'
import { type WrittenRule } from './rule-schema.ts'
import { type SettingsDocument } from './schema.ts'

/** An upstream of a rule: who answers for it, the bytes of the keys that may vouch for what it offers, and whether it needs none. */
type Voucher = {
  readonly party: string
  readonly keys: ReadonlySet<string>
  readonly unsigned: boolean
}

/**
 * Whether the upstreams of a rule can vouch at all, and as many as are to agree with a key of their own each. Nothing
 * is said of a rule that names what there is not: that is told elsewhere.
 */
export function checkAgreement(
  rule: WrittenRule,
  index: number,
  document: SettingsDocument,
): readonly Conflict[] {
  const vouchers = vouchersOf(rule, document)
  if (vouchers === null) return []
  const { from, agree } = rule
  if (from !== undefined && vouchers.every(({ keys, unsigned }) => keys.size === 0 && !unsigned)) {
    const found = 'only upstreams without keys, which can never vouch for a path'
    const allowed = 'at least one upstream that has keys'
    return [{ path: ['rule', index, 'from'], found, allowed }]
  }
  const most = largestMatching(keysOfParties(vouchers))
  if (agree === 1 || agree <= most) return []
  const upstreams = `${vouchers.length} ${vouchers.length === 1 ? 'upstream' : 'upstreams'}`
  const found =
    agree > vouchers.length
      ? `${agree}, of ${upstreams} ${from === undefined ? 'in all' : 'in from'}`
      : `${agree}, where at most ${most} of ${upstreams} can vouch with a key of its own`
  const allowed =
    most < 2 ? '1, or further upstreams with keys of their own' : `a whole number from 1 to ${most}`
  return [{ path: ['rule', index, 'agree'], found, allowed }]
}

/** The upstreams of `from`, else all that are asked; null where there is no such upstream or key. */
function vouchersOf(rule: WrittenRule, document: SettingsDocument): readonly Voucher[] | null {
  const { upstream, import: imported } = document
  const known = keysByName(document)
  const signers = rule.signed_by?.map((name) => known.get(name))
  const all = [...upstream, { name: 'import', keys: imported.keys, insecure_unsigned: false }]
  // What came without a record counts only where it is named: nobody can be asked for it.
  const named = rule.from?.map((name) => all.find((each) => each.name === name)) ?? upstream
  if (signers?.includes(undefined) === true || named.includes(undefined)) return null
  return named.flatMap((each) =>
    each === undefined
      ? []
      : [
          {
            party: partyOf(each.name, each.keys),
            keys: bytesOf(signers ?? each.keys),
            unsigned: each.insecure_unsigned,
          },
        ],
  )
}

/** As the verdict counts them: upstreams with the same keys are one. */
function keysOfParties(vouchers: readonly Voucher[]): readonly ReadonlySet<string>[] {
  const parties = new Map<string, ReadonlySet<string>>()
  for (const { party, keys } of vouchers) {
    parties.set(party, keys.union(parties.get(party) ?? new Set()))
  }
  return [...parties.values()]
}

function bytesOf(keys: readonly (PublicKey | undefined)[]): ReadonlySet<string> {
  return new Set(keys.flatMap((key) => (key === undefined ? [] : [encodeBase64(key.bytes)])))
}
