import { z } from 'zod'
import { describeFound } from './describe-found.ts'
import { parseDuration } from './duration.ts'
import { parseSize } from './size.ts'

/** A day: far below what a timer of Node can hold. */
const MAX_DURATION_MS = 86_400_000

const PATH_ALLOWED = 'a path: absolute, beginning with ~/, or relative to the configuration file'

/** What a parser makes of a text: a value, or what was found and what would be allowed, without secrets. */
export type Reading<T> =
  | { readonly kind: 'value'; readonly value: T }
  | { readonly kind: 'mistake'; readonly found: string; readonly allowed: string }

/** A text that a parser turns into a value; every issue's message is what is allowed. */
export function textField<T>(allowed: string, parse: (text: string) => T | null) {
  return z.string({ error: allowed }).transform((text, context) => {
    const value = parse(text)
    if (value !== null) return value
    context.addIssue({ code: 'custom', message: allowed })
    return z.NEVER
  })
}

/** A text whose parser can say what is wrong with it: the issue's `params.found` does. */
export function explainedField<T>(allowed: string, read: (text: string) => Reading<T>) {
  return z.string({ error: allowed }).transform((text, context) => {
    const reading = read(text)
    if (reading.kind === 'value') return reading.value
    const { allowed: message, found } = reading
    context.addIssue({ code: 'custom', message, params: { found } })
    return z.NEVER
  })
}

/** Bytes: a text such as 20GiB, or a whole number, from `minBytes` on. */
export function sizeField(minBytes: number) {
  const least = minBytes === 0 ? '' : `, at least ${minBytes}`
  const allowed = `a size such as "200GiB", "20GB" or "512MiB", or a whole number of bytes${least}`
  return z.union([z.string(), z.int().min(0)], { error: allowed }).transform((written, context) => {
    const bytes = typeof written === 'number' ? written : parseSize(written)
    if (bytes !== null && bytes >= minBytes) return bytes
    context.addIssue({ code: 'custom', message: allowed })
    return z.NEVER
  })
}

/** Milliseconds: a text such as 30s, from `minMs` up to a day. */
export function durationField(minMs: number) {
  const allowed = `a duration such as "500ms", "30s", "5m" or "1h", from ${minMs}ms to 24h`
  return textField(allowed, (text) => {
    const durationMs = parseDuration(text)
    return durationMs !== null && durationMs >= minMs && durationMs <= MAX_DURATION_MS
      ? durationMs
      : null
  })
}

/** A whole number between two bounds, both included. */
export function wholeNumberField(min: number, max: number) {
  const allowed = `a whole number from ${min} to ${max}`
  return z.int({ error: allowed }).min(min, { error: allowed }).max(max, { error: allowed })
}

/** Yes or no. */
export function flagField() {
  return z.boolean({ error: 'true or false' })
}

/** One of a few words. */
export function choiceField<const Choice extends string>(choices: readonly Choice[]) {
  return z.enum(choices, { error: choices.map((choice) => `"${choice}"`).join(', ') })
}

/** A folder or file; what it is relative to is known only when it is resolved. */
export function pathField() {
  return explainedField(PATH_ALLOWED, (text): Reading<string> => {
    // A key where its file's path should be; only its kind is told.
    if (/:[A-Za-z0-9+/]{42,}={1,2}$/.test(text)) return pathMistake('a key itself')
    const unusable = text === '' || /\p{Cc}/u.test(text) || /^~[^/]/.test(text)
    return unusable ? pathMistake(describeFound(text)) : { kind: 'value', value: text }
  })
}

function pathMistake(found: string): Reading<string> {
  return { kind: 'mistake', found, allowed: PATH_ALLOWED }
}

/** A list of such fields. */
export function listField<Item extends z.ZodType>(item: Item, allowed: string) {
  return z.array(item, { error: allowed })
}
