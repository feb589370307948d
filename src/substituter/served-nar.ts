import { formatPublicKey } from '../nix/signature.ts'
import type { TrustedAnswer } from '../policy/answer.ts'
import type { Policy } from '../policy/policy.ts'
import type { ServedNar } from '../ports/evidence.ts'
import { narKeyOf } from './render-narinfo.ts'

/** The record of a NAR that is handed out for a trusted answer. */
export function servedNar(
  { claim, verdict }: TrustedAnswer,
  { epoch }: Policy,
  client: string,
): ServedNar {
  const { storePath } = verdict.narinfo
  return {
    hash: storePath.hash,
    path: storePath.baseName,
    narHash: narKeyOf(verdict.narinfo).narHash,
    client,
    upstream: claim.upstream,
    keys: verdict.keys.map(formatPublicKey),
    rule: verdict.rule?.name ?? null,
    epoch,
  }
}
