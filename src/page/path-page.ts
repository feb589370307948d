import type { ExplainedNar, ExplainedUpstream, Explanation } from '../admin/explanation.ts'
import { describeConditions, noRuleWords, sourceWords } from '../admin/explanation-words.ts'
import { claimFacts, upstreamAnswer } from './path-claims.ts'
import { html, type Html } from './view/html.ts'
import { bytes, mark, nothing, pathLink, type Sight, table, time, type Tone } from './view/parts.ts'

const verdicts: Readonly<Record<Explanation['verdict'], { readonly tone: Tone }>> = {
  trusted: { tone: 'good' },
  refused: { tone: 'bad' },
  absent: { tone: 'plain' },
  unknown: { tone: 'warn' },
}

/** Why a path is answered as it is: the verdict and its reason first. */
export function pathPage(explanation: Explanation, { nowMs, isAdmin }: Sight): Html {
  const { hash, path, stored, refusedReferences } = explanation
  return html`<div class="title">
      <h1 class="path">${path?.slice(hash.length + 1) ?? hash}</h1>
      ${isAdmin ? html`<button type="button" data-ask-live>Ask the upstreams now</button>` : null}
    </div>
    <p class="store-path">${path ?? hash}</p>
    ${verdict(explanation)} ${rule(explanation)} ${upstreams(explanation)}
    <section aria-labelledby="stored">
      <h2 id="stored">Stored</h2>
      ${stored.length === 0 ? nothing('Nothing is stored of it.') : storedTable(stored, nowMs)}
    </section>
    ${references(refusedReferences)} ${given(explanation, { nowMs, isAdmin })}
    ${isAdmin ? events(explanation, nowMs) : null}`
}

function verdict({ verdict, reason, wouldRefuse, policy }: Explanation): Html {
  const { tone } = verdicts[verdict]
  const mode = policy.enforce ? 'The policy is enforced' : 'The policy only reports'
  return html`<section class="verdict ${tone}" aria-label="Verdict">
    <p class="said">${mark(tone, verdict)}</p>
    <p>${reason}</p>
    ${
      wouldRefuse === null
        ? null
        : html`<p>${mark('warn', `enforced, it would be refused: ${wouldRefuse}`)}</p>`
    }
    <p class="note">${mode}, epoch <code>${policy.epoch}</code>.</p>
  </section>`
}

function rule({ rule, path }: Explanation): Html {
  return html`<section aria-labelledby="rule">
    <h2 id="rule">Rule</h2>
    ${
      rule === null
        ? html`<p>${path === null ? 'Nobody says what its name is.' : noRuleWords}</p>`
        : html`<p><a class="rule" href="/policy">${rule.name}</a></p>
            <ul>
              ${describeConditions(rule).map((condition) => html`<li>${condition}</li>`)}
            </ul>`
    }
  </section>`
}

function upstreams({ upstreams, source, rule }: Explanation): Html {
  return html`<section aria-labelledby="upstreams">
    <h2 id="upstreams">Upstreams, ${sourceWords[source]}</h2>
    <div class="cards">${upstreams.map((each) => upstreamCard(each, rule?.name ?? null))}</div>
  </section>`
}

function upstreamCard(said: ExplainedUpstream, decided: string | null): Html {
  const { upstream, claim } = said
  return html`<article class="card">
    <h3>${upstream}</h3>
    <p>${upstreamAnswer(said)}</p>
    ${claim === null ? null : claimFacts(claim, decided)}
  </article>`
}

function storedTable(stored: readonly ExplainedNar[], nowMs: number): Html {
  const columns = [
    { title: 'NAR' },
    { title: 'From' },
    { title: 'File', isNumber: true },
    { title: 'Since' },
    { title: 'Now' },
  ]
  const rows = stored.map(
    ({ narHash, upstream, witnesses, fileBytes, storedAtMs, isTrusted }) =>
      html`<tr>
        <td><code title="${narHash}">${shortHash(narHash)}</code></td>
        <td>${[upstream, ...witnesses.filter((name) => name !== upstream)].join(', ')}</td>
        <td class="number">${bytes(fileBytes)}</td>
        <td>${time(storedAtMs, nowMs)}</td>
        <td>${isTrusted ? mark('good', 'trusted') : mark('bad', 'refused')}</td>
      </tr>`,
  )
  return table('What is stored of it', columns, rows)
}

/** Enough of a hash to tell it from others. */
function shortHash(hash: string): string {
  return `${hash.slice(0, 'sha256:'.length + 12)}…`
}

function references(refused: Explanation['refusedReferences']): Html {
  const rows = refused.map(
    ({ path, reason }) =>
      html`<tr>
        <td>${pathLink(path.slice(0, path.indexOf('-')), path)}</td>
        <td>${reason}</td>
      </tr>`,
  )
  const columns = [{ title: 'Path' }, { title: 'Why' }]
  return html`<section aria-labelledby="references">
    <h2 id="references">References that would be refused</h2>
    ${
      rows.length === 0
        ? nothing('None, as far as is known.')
        : table('References that would be refused', columns, rows)
    }
  </section>`
}

function given({ served }: Explanation, { nowMs, isAdmin }: Sight): Html {
  const columns = [
    { title: 'Client' },
    { title: 'First' },
    { title: 'Last' },
    { title: 'Times', isNumber: true },
  ]
  const rows = served.map(
    ({ client, firstMs, lastMs, count }) =>
      html`<tr>
        <td>${client}</td>
        <td>${time(firstMs, nowMs)}</td>
        <td>${time(lastMs, nowMs)}</td>
        <td class="number">${count}</td>
      </tr>`,
  )
  return html`<section aria-labelledby="given">
    <h2 id="given">Given to</h2>
    ${
      rows.length === 0
        ? nothing(isAdmin ? 'Nobody got it from here.' : 'Your machine did not get it from here.')
        : table('Who was given it', columns, rows)
    }
    ${
      isAdmin
        ? null
        : html`<p class="note">
            Who else got it, and what happened, is shown with the
            <a href="#token">admin token</a>.
          </p>`
    }
  </section>`
}

function events({ events }: Explanation, nowMs: number): Html {
  const columns = [{ title: 'Last' }, { title: 'What' }, { title: 'Detail' }]
  const rows = events.map(
    ({ kind, detail, lastMs }) =>
      html`<tr>
        <td>${time(lastMs, nowMs)}</td>
        <td>${kind}</td>
        <td>${detail}</td>
      </tr>`,
  )
  return html`<section aria-labelledby="events">
    <h2 id="events">Events</h2>
    ${rows.length === 0 ? nothing('Nothing happened to it.') : table('Events', columns, rows)}
  </section>`
}
