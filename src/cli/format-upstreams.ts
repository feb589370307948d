import type { ExplainedClaim, ExplainedUpstream } from '../admin/explanation.ts'
import { answerWords, describeSignature, describeVoucher } from '../admin/explanation-words.ts'
import { indent } from './columns.ts'
import { count } from './words.ts'

/** What each upstream says, a block each; `decided` is the rule that need not be said again. */
export function formatUpstreams(
  upstreams: readonly ExplainedUpstream[],
  decided: string | null,
): string {
  const width = Math.max(0, ...upstreams.map(({ upstream }) => upstream.length))
  return upstreams
    .map(({ upstream, answer, reason, claim }) => {
      const said = `${upstream.padEnd(width)}  ${answerWords[answer]}`
      const why = reason === null ? '' : `: ${reason}`
      return `${said}${why}\n${claim === null ? '' : indent(formatClaim(claim, decided), width + 2)}`
    })
    .join('')
}

function formatClaim(claim: ExplainedClaim, decided: string | null): string {
  const { path, narHash, narSize, references, ca, voucher, signatures, rule } = claim
  const facts: readonly (readonly [string, string])[] = [
    ['says', path],
    ['NAR', narHash],
    ['', `${narSize} bytes, ${count(references, 'reference')}`],
    // Under a lying name another rule decides.
    ...(rule === decided ? [] : [['rule', rule ?? 'none'] as const]),
    ...(ca === null ? [] : [['CA', ca] as const]),
    ...(voucher === null ? [] : [['trusted', describeVoucher(voucher)] as const]),
    ...(signatures.length === 0 ? [['signature', 'none'] as const] : []),
    ...signatures.map(
      (signature) =>
        ['signature', `${signature.keyName}: ${describeSignature(signature)}`] as const,
    ),
  ]
  return facts.map(([name, value]) => `${name.padEnd('signature'.length)}  ${value}\n`).join('')
}
