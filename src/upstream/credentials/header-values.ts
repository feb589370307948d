import { Buffer } from 'node:buffer'

/** A file's secret: its text without the end of its last line; `null` where it has more lines, or is no text. */
export function secretOf(text: string): string | null {
  const secret = text.replace(/\r?\n$/, '')
  return secret === '' || /[\p{Cc}\ufffd]/u.test(secret) ? null : secret
}

/** Whether HTTP can carry the text as a header's value: printable ASCII, and blanks only within. */
export function isHeaderValue(text: string): boolean {
  return /^(?:[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)?$/.test(text)
}

/** The value of `Authorization` for a token. */
export function bearer(token: string): string {
  return `Bearer ${token}`
}

/** The value of `Authorization`, or of `Proxy-Authorization`, for a user; in UTF-8 (RFC 7617). */
export function basic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}
