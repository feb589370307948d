import type { ExplainedClaim, ExplainedUpstream } from '../admin/explanation.ts'
import { answerWords, describeSignature, describeVoucher } from '../admin/explanation-words.ts'
import type { SignatureEvidence } from '../policy/verdict.ts'
import { html, type Html } from './view/html.ts'
import { mark, type Tone } from './view/parts.ts'
import { formatBytes, formatCount } from './view/units.ts'

const answerTones: Readonly<Record<ExplainedUpstream['answer'], Tone>> = {
  trusted: 'good',
  refused: 'bad',
  absent: 'plain',
  unknown: 'warn',
  'not-asked': 'plain',
  awaited: 'plain',
}

const signatureTones: Readonly<Record<SignatureEvidence['result'], Tone>> = {
  vouches: 'good',
  valid: 'plain',
  'bad-signature': 'bad',
  'unknown-key': 'plain',
  'blocked-key': 'bad',
}

/** What an upstream answered, and why that came of it. */
export function upstreamAnswer({ answer, reason }: ExplainedUpstream): Html {
  const words = answerWords[answer]
  return mark(answerTones[answer], reason === null ? words : `${words}: ${reason}`)
}

/** What an upstream claims; `decided` is the rule that need not be said again. */
export function claimFacts(claim: ExplainedClaim, decided: string | null): Html {
  const { path, narHash, narSize, references, ca, voucher, signatures, rule } = claim
  return html`<dl class="facts">
    ${fact('says', html`<span class="path">${path}</span>`)}
    ${fact('NAR', html`<code class="hash">${narHash}</code>`)}
    ${fact(
      'size',
      html`<span title="${narSize} bytes">${formatBytes(Number(narSize))}</span>,
        ${formatCount(references, 'reference')}`,
    )}
    ${rule === decided ? null : fact('rule', rule ?? 'none')}
    ${ca === null ? null : fact('CA', html`<code class="hash">${ca}</code>`)}
    ${voucher === null ? null : fact('trusted', describeVoucher(voucher))}
    ${fact('signed', signatures.length === 0 ? 'by nobody' : signatureList(signatures))}
  </dl>`
}

function fact(name: string, value: string | Html): Html {
  return html`<div>
    <dt>${name}</dt>
    <dd>${value}</dd>
  </div>`
}

function signatureList(signatures: readonly SignatureEvidence[]): Html {
  return html`<ul class="signatures">
    ${signatures.map(
      (signature) =>
        html`<li>
          <code>${signature.keyName}</code>
          ${mark(signatureTones[signature.result], describeSignature(signature))}
        </li>`,
    )}
  </ul>`
}
