/** The words in which an explanation is told, on the command line and on the page. */
import type { SignatureEvidence, Voucher } from '../policy/verdict.ts'
import type { ExplainedRule, ExplainedUpstream, Explanation } from './explanation.ts'

/** What an upstream said. */
export const answerWords: Readonly<Record<ExplainedUpstream['answer'], string>> = {
  trusted: 'trusted',
  refused: 'REFUSED',
  absent: 'does not have it',
  unknown: 'could not tell',
  'not-asked': 'not asked',
  awaited: 'has not answered yet',
}

/** When the upstreams said it. */
export const sourceWords: Readonly<Record<Explanation['source'], string>> = {
  live: 'asked just now',
  remembered: 'as they answered an earlier request',
  stored: 'as they answered when it was stored',
  nothing: 'not asked yet',
}

/** What stands where no rule matches. */
export const noRuleWords = 'none matches its name: [policy] unmatched decides'

/** What a rule asks for, a condition each. */
export function describeConditions({
  from,
  signedBy,
  agree,
  onDivergence,
}: ExplainedRule): readonly string[] {
  return [
    from === null ? 'from any upstream' : `from ${from.join(', then ')}`,
    signedBy === null
      ? "signed by a key of the path's upstream"
      : `signed by ${signedBy.join(' or ')}`,
    ...(agree === 1 ? [] : [`${agree} upstreams must say the same`]),
    ...(onDivergence === 'serve' ? [] : ['refused where upstreams differ']),
  ]
}

/** Why a claim is trusted. */
export function describeVoucher(voucher: Voucher): string {
  switch (voucher.kind) {
    case 'signature':
      return `since ${voucher.keyName} vouches for it`
    case 'content-address':
      return 'since its content address proves it'
    case 'insecure':
      return 'without a signature: the upstream is insecure_unsigned'
  }
}

/** What a signature turned out to be. */
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
