import { html, type Html } from './view/html.ts'

/** What stands where `[server] page` is off; the browser asks again with the token. */
export function lockedPage(): Html {
  return html`<div class="title"><h1>Weir</h1></div>
    <p data-locked>
      What this Weir is doing is shown with the <a href="#token">admin token</a>: it is in the file
      <code>admin-token</code> in <code>state.dir</code>.
    </p>
    <noscript><p class="note">A token can be given with JavaScript only.</p></noscript>`
}
