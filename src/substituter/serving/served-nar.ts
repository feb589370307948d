import { formatPublicKey } from '../../nix/signature.ts'
import type { TrustedAnswer } from '../../policy/answer.ts'
import type { Policy } from '../../policy/policy.ts'
import type { ServedNar } from '../../ports/evidence.ts'
import { narKeyOf } from '../finding/render-narinfo.ts'

/** The record of a NAR that is handed out for a trusted answer. */
export function servedNar(
  { claim, verdict }: TrustedAnswer,
  /** Those that say the same: where a rule wants several, each of their keys vouched. */
  agreeing: readonly TrustedAnswer[],
  { epoch }: Policy,
  client: string,
): ServedNar {
  const { storePath } = verdict.narinfo
  const isNeeded = (verdict.rule?.agree ?? 1) > 1
  const others = isNeeded ? agreeing.flatMap((other) => other.verdict.keys) : []
  return {
    hash: storePath.hash,
    path: storePath.baseName,
    narHash: narKeyOf(verdict.narinfo).narHash,
    client,
    upstream: claim.upstream,
    keys: [...new Set([...verdict.keys, ...others].map(formatPublicKey))],
    rule: verdict.rule?.name ?? null,
    epoch,
  }
}
