/**
 * The header `traceparent` of W3C Trace Context: `00-<32 hex: trace>-<16 hex: span>-<2 hex: flags>`, in lower case. Later versions may
 * have more behind it.
 */
export type Traceparent = {
  readonly traceId: string
  readonly spanId: string
  readonly traceFlags: number
}

const pattern =
  /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/

/** The span that a header names; `null` where it is malformed, and to be passed over. */
export function parseTraceparent(text: string): Traceparent | null {
  const [, version, traceId = '', spanId = '', flags = '', more] = pattern.exec(text) ?? []
  if (version === undefined || (version === '00' && more !== undefined)) return null
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & 1 }
}
