import { z } from 'zod'

/** A header's value: what stands there, a file's content without the line's end, or what a variable of the environment has. */
export type HeaderPart =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'env'; readonly name: string }

/** A header to send; `name` in lower case. */
export type HeaderTemplate = { readonly name: string; readonly parts: readonly HeaderPart[] }

/** Headers that are Weir's own to set. */
const own = new Set(
  ['host', 'connection', 'content-length', 'transfer-encoding', 'range', 'if-range'].concat([
    'accept',
    'accept-encoding',
    'user-agent',
    'authorization',
    'proxy-authorization',
    'upgrade',
  ]),
)

const NAME_ALLOWED =
  'the name of a header that is not one of HTTP itself; for Authorization use token_file, or user and password_file'
const VALUE_ALLOWED =
  "a header's value; {file:/PATH} and {env:NAME} in it stand for what is there, other braces are not allowed"

/** Headers by name, as they are written: a table. */
export const headersField = z
  .record(z.string(), z.string({ error: VALUE_ALLOWED }), {
    error: 'a table, such as { X-Token = "{file:/run/secrets/token}" }',
  })
  .transform((table, context) => {
    const templates: HeaderTemplate[] = []
    for (const [written, value] of Object.entries(table)) {
      const name = written.toLowerCase()
      const parts = parseHeaderParts(value)
      if (parts === null)
        context.addIssue({ code: 'custom', path: [written], message: VALUE_ALLOWED })
      else if (/^[a-z0-9!#$%&'*+.^_`|~-]+$/.test(name) && !own.has(name))
        templates.push({ name, parts })
      else context.addIssue({ code: 'custom', path: [written], message: NAME_ALLOWED })
    }
    return templates
  })

/** The parts of a template; `null` where it is none. */
export function parseHeaderParts(text: string): readonly HeaderPart[] | null {
  if (!/^[\t\x20-\x7e]*$/.test(text)) return null
  const parts: HeaderPart[] = []
  for (const [piece] of text.matchAll(/\{[^{}]*\}|[^{}]+|[{}]/g)) {
    const [, kind, value = ''] = /^\{(file|env):(.+)\}$/.exec(piece) ?? []
    if (kind === 'file' && value.startsWith('/')) parts.push({ kind, path: value })
    else if (kind === 'env' && /^[A-Za-z_]\w*$/.test(value)) parts.push({ kind, name: value })
    else if (/[{}]/.test(piece)) return null
    else parts.push({ kind: 'text', text: piece })
  }
  return parts
}
