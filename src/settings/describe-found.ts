const MAX_CHARACTERS = 60

/** A value of the configuration in words fit for an error message: short, on one line, and without what could be a secret. */
export function describeFound(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list'
  if (value instanceof Date) return 'a date'
  if (value === undefined) return 'nothing'
  if (typeof value === 'string') return quote(withoutSecrets(value))
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  return 'a table'
}

/** A text in double quotes, shortened, with nothing in it that could move a terminal's cursor. */
export function quote(text: string, maxCharacters = MAX_CHARACTERS): string {
  const short = text.length > maxCharacters ? `${text.slice(0, maxCharacters)}…` : text
  return JSON.stringify(short.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '\uFFFD'))
}

/** A name in double quotes; unlike other texts it may have an `@` in it without that being the end of a password. */
export function quoteName(name: string): string {
  return name.includes('://') ? describeFound(name) : quote(withoutKeys(name))
}

/** Hides the credentials and the query of a URL, and whatever has the look of a key. */
function withoutSecrets(text: string): string {
  const bare = text.replace(/^(\w+:\/\/)?.*@/s, '$1…@')
  const unqueried = bare.includes('://') ? bare.replace(/([?#]).+$/s, '$1…') : bare
  return withoutKeys(unqueried)
}

function withoutKeys(text: string): string {
  return text
    .replaceAll(/[A-Za-z0-9+/]{40,}={1,2}/g, '…')
    .replaceAll(/:[A-Za-z0-9+][A-Za-z0-9+/]{39,}/g, ':…')
}
