import type { PlainPolicy } from '../admin/plain-policy.ts'
import { html, type Html } from './view/html.ts'
import { mark, nothing, table } from './view/parts.ts'
import { formatCount } from './view/units.ts'

/** A policy for people: the rules in the order in which they are tried, then what they rest on. */
export function policyPage(policy: PlainPolicy): Html {
  const { enforce, unmatched, epoch } = policy
  const mode = enforce
    ? mark('good', 'The policy is enforced.')
    : mark('warn', 'The policy only reports: what the rules would refuse is served, and counted.')
  const otherwise =
    unmatched === 'allow'
      ? 'What none matches is allowed, by keys of its own upstream.'
      : 'What none matches is refused.'
  return html`<div class="title">
      <h1>Policy</h1>
      <p class="when">epoch <code>${epoch}</code></p>
    </div>
    <p class="headline">${mode}</p>
    ${section(
      'Rules',
      'rules',
      html`<p class="lead">The first that matches a name decides. ${otherwise}</p>
        ${rules(policy)}${sets(policy)}`,
    )}
    ${section('Upstreams', 'upstreams', upstreams(policy))}
    ${section('Recalled', 'recalled', recalled(policy))}`
}

function section(title: string, name: string, content: Html): Html {
  return html`<section aria-labelledby="${name}">
    <h2 id="${name}">${title}</h2>
    ${content}
  </section>`
}

function rules({ rules }: PlainPolicy): Html {
  if (rules.length === 0) return nothing('There is no rule.')
  const columns = [
    { title: '#', isNumber: true },
    ...['Rule', 'For', 'From', 'Signed by', 'Must agree', 'Where they differ'].map((title) => ({
      title,
    })),
  ]
  const rows = rules.map(
    (rule) =>
      html`<tr>
        <td class="number">${rule.number}</td>
        <th scope="row">${rule.name}</th>
        <td>${words([...rule.packages, ...rule.paths])}</td>
        <td>${rule.from?.join(', then ') ?? 'any'}</td>
        <td>${rule.signed_by === null ? 'own keys' : words(rule.signed_by)}</td>
        <td>${rule.agree === 1 ? 'no' : formatCount(rule.agree, 'upstream')}</td>
        <td>${rule.on_divergence}</td>
      </tr>`,
  )
  return table('Rules, in the order in which they are tried', columns, rows)
}

/** The packages of the sets that rules name. */
function sets({ rules, sets }: PlainPolicy): readonly Html[] {
  return Object.entries(sets)
    .filter(([set]) => rules.some(({ packages }) => packages.includes(set)))
    .map(
      ([set, members]) =>
        html`<details>
          <summary>${set}: ${formatCount(members.length, 'package')}</summary>
          <p>${words(members)}</p>
        </details>`,
    )
}

function words(each: readonly string[]): Html {
  return html`${each.map((word) => html`<code>${word}</code> `)}`
}

function upstreams({ upstreams }: PlainPolicy): Html {
  const columns = [{ title: 'Name' }, { title: 'Tier' }, { title: 'Is' }, { title: 'Keys' }]
  const rows = upstreams.map(
    (upstream) =>
      html`<tr>
        <th scope="row">${upstream.name}</th>
        <td>${upstream.tier}</td>
        <td>${traits(upstream)}</td>
        <td>
          ${
            upstream.keys.length === 0
              ? 'none: content-addressed only'
              : upstream.keys.map((key) => html`<code class="hash">${key}</code> `)
          }
        </td>
      </tr>`,
  )
  return table('Upstreams, the most preferred first', columns, rows)
}

function traits(upstream: PlainPolicy['upstreams'][number]): readonly Html[] {
  return [
    ...(upstream.suspended ? [mark('bad', 'suspended')] : []),
    ...(upstream.insecure_unsigned ? [mark('warn', 'insecure: needs no signature')] : []),
    ...(upstream.private ? [mark('plain', 'private')] : []),
    ...(upstream.optional ? [mark('plain', 'optional')] : []),
  ].map((trait) => html`${trait} `)
}

function recalled({ blocks }: PlainPolicy): Html {
  if (blocks.length === 0) return nothing('Nothing is recalled.')
  const columns = [{ title: 'What' }, { title: 'Why' }, { title: 'By' }]
  const rows = blocks.map(
    ({ blocked, by, reason }) =>
      html`<tr>
        <th scope="row">${blocked}</th>
        <td>${reason}</td>
        <td>${by}</td>
      </tr>`,
  )
  return table('What is recalled', columns, rows)
}
