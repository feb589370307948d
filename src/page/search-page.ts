import type { StoredPath, StoredPaths } from '../activity/activity.ts'
import { html, type Html } from './view/html.ts'
import { bytes, nothing, pathLink, table, time } from './view/parts.ts'
import { formatNumber } from './view/units.ts'

/** So many stored paths are on one page. */
export const pathsPerPage = 50

export type Search = {
  /** What was searched for; empty for everything. */
  readonly text: string
  /** Where this page begins; `null` for the first. */
  readonly after: string | null
  readonly nowMs: number
}

/** The stored paths that a search found, a page of them. */
export function searchPage({ paths, next }: StoredPaths, { text, after, nowMs }: Search): Html {
  return html`<div class="title"><h1>Stored paths</h1></div>
    <p class="lead">${lead(text)}</p>
    ${paths.length === 0 ? nothing(emptyBecause(text, after)) : results(paths, nowMs)}
    <nav class="pages" aria-label="Pages of results">
      ${after === null ? null : html`<a href="${address(text, null)}">First page</a>`}
      ${next === null ? null : html`<a href="${address(text, next)}" rel="next">Next page</a>`}
    </nav>`
}

function lead(text: string): Html {
  return text === ''
    ? html`Everything that is stored, by name. Search for a part of a name, for a pattern such as
        <code>openssl-3.*</code>, or for a hash.`
    : html`What matches <q>${text}</q>, by name.`
}

function emptyBecause(text: string, after: string | null): string {
  if (after !== null) return 'There is nothing more.'
  return text === ''
    ? 'Nothing is stored yet.'
    : 'Nothing that is stored matches. Search for its hash or its whole store path to see what upstreams say of it.'
}

function address(text: string, after: string | null): string {
  const query = new URLSearchParams(after === null ? { q: text } : { q: text, after })
  return `/search?${query.toString()}`
}

function results(paths: readonly StoredPath[], nowMs: number): Html {
  const columns = [
    { title: 'Path' },
    { title: 'Package' },
    { title: 'On disk', isNumber: true },
    { title: 'NAR', isNumber: true },
    { title: 'Stored' },
    { title: 'Last used' },
    { title: 'Vouched for by' },
  ]
  const rows = paths.map(
    (stored) =>
      html`<tr>
        <th scope="row">${pathLink(stored.hash, stored.path)}</th>
        <td>${stored.package}</td>
        <td class="number" title="${formatNumber(stored.diskBytes)} bytes, ${stored.compression}">
          ${bytes(stored.diskBytes)}
        </td>
        <td class="number">${bytes(stored.narSize)}</td>
        <td>${time(stored.storedAtMs, nowMs)}</td>
        <td>${time(stored.usedAtMs, nowMs)}</td>
        <td>${stored.upstreams.join(', ')}</td>
      </tr>`,
  )
  return table('Stored paths, by name', columns, rows)
}
