import type { ExplainedClaim, ExplainedUpstream } from '../admin/explanation.ts'
import type { SignatureEvidence, Voucher } from '../policy/verdict.ts'
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

const answerWords: Readonly<Record<ExplainedUpstream['answer'], string>> = {
  trusted: 'trusted',
  refused: 'REFUSED',
  absent: 'does not have it',
  unknown: 'could not tell',
  'not-asked': 'not asked',
  awaited: 'has not answered yet',
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

function describeVoucher(voucher: Voucher): string {
  switch (voucher.kind) {
    case 'signature':
      return `since ${voucher.keyName} vouches for it`
    case 'content-address':
      return 'since its content address proves it'
    case 'insecure':
      return 'without a signature: the upstream is insecure_unsigned'
  }
}

/** What a signature turned out to be, in words. */
export function describeSignature({ result }: SignatureEvidence): string {
  switch (result) {
    case 'vouches':
      return 'valid, and this key may vouch here'
    case 'valid':
      return 'valid, but this key may not vouch here'
    case 'bad-signature':
      return 'WRONG: it does not verify under the key that Weir holds'
    case 'unknown-key':
      return 'a key that Weir does not hold'
    case 'blocked-key':
      return 'a key that was recalled'
  }
}
