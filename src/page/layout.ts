import { html, type Html, markup } from './view/html.ts'

/** The pages that the navigation leads to. */
export type Section = 'status' | 'search' | 'policy'

export type Frame = {
  readonly title: string
  /** Which entry of the navigation is this page's; `null` for none. */
  readonly section: Section | null
  /** What stands in the search field. */
  readonly text?: string
  readonly main: Html
  /** The folder of the assets, with a slash at its end. */
  readonly assets: string
  readonly version: string
}

const sections: readonly (readonly [Section, string, string])[] = [
  ['status', '/', 'Status'],
  ['search', '/search', 'Stored paths'],
  ['policy', '/policy', 'Policy'],
]

/** A whole document. Nothing in it is a script or style of its own: the Content-Security-Policy forbids them. */
export function layout(frame: Frame): string {
  const { title, assets, main } = frame
  return markup(
    html`<!doctype html>
      <html lang="en">
        <head>
          <meta charset="utf-8" />
          <meta name="viewport" content="width=device-width, initial-scale=1" />
          <meta name="color-scheme" content="light dark" />
          <title>${title} – Weir</title>
          <link rel="icon" href="${assets}icon.svg" type="image/svg+xml" />
          <link rel="stylesheet" href="${assets}uplot.css" />
          <link rel="stylesheet" href="${assets}style.css" />
          <script src="${assets}uplot.js" defer></script>
          <script src="${assets}browser/main.js" type="module"></script>
        </head>
        <body>
          <a class="skip" href="#main">Skip to the content</a>
          ${header(frame)}
          <main id="main" tabindex="-1">${main}</main>
          ${footer(frame)}
        </body>
      </html>`,
  )
}

function header({ section, text = '' }: Frame): Html {
  const links = sections.map(([each, href, title]) =>
    each === section
      ? html`<li><a href="${href}" aria-current="page">${title}</a></li>`
      : html`<li><a href="${href}">${title}</a></li>`,
  )
  return html`<header class="top">
    <a class="brand" href="/" aria-label="Weir: status"
      ><svg viewBox="0 0 24 24" width="24" height="24" aria-hidden="true">
        <path
          d="M2 8q2.5-3 5 0t5 0 5 0 5 0M2 13q2.5-3 5 0t5 0 5 0 5 0M2 18q2.5-3 5 0t5 0 5 0 5 0"
        />
      </svg>
      Weir</a
    >
    <nav aria-label="Pages">
      <ul>
        ${links}
      </ul>
    </nav>
    <form class="find" role="search" action="/search">
      <label class="unseen" for="q">Find a path</label>
      <input
        id="q"
        name="q"
        type="search"
        value="${text}"
        placeholder="package, hash or store path"
        autocomplete="off"
        spellcheck="false"
      />
      <button>Find</button>
    </form>
  </header>`
}

function footer({ version }: Frame): Html {
  return html`<footer class="bottom">
    <p>
      Weir ${version} · <a href="/metrics">metrics</a> ·
      <a href="/public-key">public key</a>
    </p>
    <form class="token" id="token" hidden>
      <label for="token-text">Admin token</label>
      <input id="token-text" type="password" autocomplete="off" spellcheck="false" />
      <button>Use it</button>
      <button type="button" id="token-forget" hidden>Forget it</button>
      <p id="token-says" role="status">
        Shows who asked for what. It is in the file admin-token in state.dir; this tab keeps it, and
        sends it to Weir alone.
      </p>
    </form>
  </footer>`
}
