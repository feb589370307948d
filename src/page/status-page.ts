import type { Activity } from '../activity/activity.ts'
import { decisionsTable, shownDecisions } from './view/decisions.ts'
import { html, type Html } from './view/html.ts'
import { headline, tiles, upstreamsTable } from './view/overview.ts'
import { formatSpan } from './view/units.ts'
import { transfersTable } from './view/transfers.ts'

/** What Weir is doing, as it is when asked for; the browser keeps the parts with `data-live` up to date. */
export function statusPage(
  activity: Activity,
  { origin, isAdmin }: { readonly origin: string; readonly isAdmin: boolean },
): Html {
  const overview = activity.overview(origin)
  const { nowMs, startedMs } = overview
  const sight = { nowMs, isAdmin }
  return html`<div class="title">
      <h1>Status</h1>
      <p class="when">
        <span id="running">Running for ${formatSpan(nowMs - startedMs)}</span>
        <noscript><a href="/">Refresh</a></noscript>
        <span id="live" role="status" hidden></span>
        <button id="pause" type="button" aria-pressed="false" hidden>Pause</button>
      </p>
    </div>
    <div data-live="headline">${headline(overview)}</div>
    <section aria-labelledby="figures">
      <h2 id="figures" class="unseen">Figures</h2>
      <div data-live="tiles">${tiles(overview)}</div>
    </section>
    <section id="charts" aria-labelledby="traffic" hidden>
      <h2 id="traffic">The last half hour</h2>
      <div class="charts" id="plots"></div>
    </section>
    ${part('Upstreams', 'upstreams', upstreamsTable(overview.upstreams))}
    ${part('On their way', 'transfers', transfersTable(activity.transfers(), sight))}
    ${part(
      'Recent decisions',
      'decisions',
      decisionsTable(activity.decisions(0, shownDecisions), sight),
    )}
    ${setUp(overview.clientLines)}`
}

function part(title: string, name: string, content: Html): Html {
  return html`<section aria-labelledby="${name}">
    <h2 id="${name}">${title}</h2>
    <div data-live="${name}">${content}</div>
  </section>`
}

function setUp(lines: readonly string[]): Html {
  return html`<section aria-labelledby="client">
    <h2 id="client">Set up a client</h2>
    <p>
      In <code>/etc/nix/nix.conf</code>, in place of its own <code>substituters</code> and
      <code>trusted-public-keys</code>; then restart its nix-daemon.
    </p>
    <div class="copy">
      <pre
        tabindex="0"
        aria-label="Lines for nix.conf"
      ><code id="client-lines">${lines.join('\n')}</code></pre>
      <button id="copy" type="button" hidden>Copy</button>
      <span id="copied" role="status"></span>
    </div>
  </section>`
}
