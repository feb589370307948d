import type { IncomingHttpHeaders } from 'node:http'

/**
 * How many milliseconds an answer asks to wait (RFC 9110, 10.2.3): `Retry-After` in seconds, or as a date, which counts from the answer's own
 * `Date` where it has one: the clocks of two machines differ. `null` where it does not say, or says nothing that can be read.
 */
export function retryAfterOf(headers: IncomingHttpHeaders, nowMs: number): number | null {
  const text = headers['retry-after']?.trim() ?? ''
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000
  const untilMs = dateOf(text)
  if (untilMs === null) return null
  return Math.max(0, untilMs - (dateOf(headers.date ?? '') ?? nowMs))
}

/** An HTTP date, which begins with a day's name and is in GMT, said or not: what else `Date.parse` takes is none. */
function dateOf(text: string): number | null {
  if (!/^[A-Z][a-z]{2,8},? /.test(text)) return null
  const atMs = Date.parse(text.endsWith('GMT') ? text : `${text} GMT`)
  return Number.isNaN(atMs) ? null : atMs
}
