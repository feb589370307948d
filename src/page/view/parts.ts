/** Small pieces that every page is made of. */
import { html, type Html } from './html.ts'
import { formatAge, formatBytes, formatNumber } from './units.ts'

/** What a mark says, beside its word: colour and sign go together. */
export type Tone = 'good' | 'bad' | 'warn' | 'plain'

const signs: Readonly<Record<Tone, string>> = { good: '✓', bad: '✗', warn: '!', plain: '·' }

/** When something is looked at, and whether by the admin: then it is told who asks for what. */
export type Sight = { readonly nowMs: number; readonly isAdmin: boolean }

/** A word with a sign, such as `✓ trusted`. */
export function mark(tone: Tone, word: string): Html {
  return html`<span class="mark ${tone}"
    ><span class="sign" aria-hidden="true">${signs[tone]}</span> ${word}</span
  >`
}

/** Bytes for people; the exact number is its title. */
export function bytes(value: number): Html {
  return html`<span title="${formatNumber(value)} bytes">${formatBytes(value)}</span>`
}

/** How long ago something was; the exact time is its title. The browser keeps it up to date. */
export function time(atMs: number, nowMs: number): Html {
  const exact = new Date(atMs).toISOString()
  return html`<time datetime="${exact}" title="${exact.replace(/\.\d+Z$/, 'Z')}"
    >${formatAge(atMs, nowMs)}</time
  >`
}

/** A link to the page of a store path, by its base name, or by the hash where nobody knows that. */
export function pathLink(hash: string, path: string | null): Html {
  const name = path?.slice(hash.length + 1) ?? ''
  const shown = name === '' ? hash : name
  return html`<a class="path" href="/path/${hash}" title="${path ?? hash}">${shown}</a>`
}

/** What stands where there is nothing to show. */
export function nothing(sentence: string): Html {
  return html`<p class="empty">${sentence}</p>`
}

export type Column = { readonly title: string; readonly isNumber?: boolean }

/** A table that scrolls by itself where it is too wide; `rows` are whole `tr` elements. */
export function table(caption: string, columns: readonly Column[], rows: readonly Html[]): Html {
  const heads = columns.map(
    ({ title, isNumber = false }) =>
      html`<th scope="col" class="${isNumber ? 'number' : ''}">${title}</th>`,
  )
  return html`<div class="scroll" role="region" aria-label="${caption}" tabindex="0">
    <table>
      <caption class="unseen">
        ${caption}
      </caption>
      <thead>
        <tr>
          ${heads}
        </tr>
      </thead>
      <tbody>
        ${rows}
      </tbody>
    </table>
  </div>`
}
