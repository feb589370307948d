/** Markup is made by this tag alone: whatever is put into it is escaped, unless it came from the tag itself. */

const made = Symbol('made by html``')

/** Markup that is safe to show: only `html` makes it, and nothing that was parsed can pass for it. */
export type Html = { readonly [made]: string }

/** What may stand in a template; `null` is nothing, a list is one after the other. */
export type HtmlValue = string | number | null | Html | readonly Html[]

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Markup from a template. Values are for text and for attributes in double quotes, nowhere else. */
export function html(strings: TemplateStringsArray, ...values: readonly HtmlValue[]): Html {
  const parts = strings.map((text, index) => text + markupOf(values[index] ?? null))
  return { [made]: parts.join('') }
}

/** The markup as text, for whoever sends or shows it. */
export function markup(value: Html): string {
  return value[made]
}

function markupOf(value: HtmlValue): string {
  if (value === null) return ''
  if (typeof value === 'object') return 'map' in value ? value.map(markup).join('') : value[made]
  return String(value).replaceAll(/[&<>"']/g, (character) => escapes[character] ?? '')
}
