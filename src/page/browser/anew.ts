/** The page as the admin sees it: the same page, asked for with the token. */
import { ask, AskError } from './ask.ts'
import { find } from './dom.ts'
import { heldToken, refuseToken } from './token.ts'

/** Whether the token changes what this page shows; the status page asks for its parts by itself. */
function dependsOnToken(): boolean {
  return location.pathname.startsWith('/path/') || document.querySelector('[data-locked]') !== null
}

/** Shows the page with what needs the token, where there is such; `live` has the upstreams asked. */
export async function showAnew({ live }: { readonly live: boolean }): Promise<void> {
  const main = find('main', HTMLElement)
  if (main === null || !dependsOnToken()) return
  main.setAttribute('aria-busy', 'true')
  try {
    const address = new URL(location.href)
    if (live) address.searchParams.set('live', '')
    const text = await (await ask(address.href, new AbortController().signal)).text()
    const shown = new DOMParser().parseFromString(text, 'text/html').getElementById('main')
    if (shown !== null) main.replaceChildren(...shown.childNodes)
  } catch (error) {
    // What is shown already stays: without the token it is right, if not all.
    if (error instanceof AskError && error.code === 'refused' && heldToken() !== null) refuseToken()
  } finally {
    main.removeAttribute('aria-busy')
  }
}

/** Puts the button to work that has the upstreams asked about a path. */
export function followAskLive(): void {
  find('main', HTMLElement)?.addEventListener('click', (event) => {
    const { target } = event
    if (target instanceof Element && target.closest('[data-ask-live]') !== null) {
      void showAnew({ live: true })
    }
  })
}
