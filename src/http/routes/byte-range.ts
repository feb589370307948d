/**
 * One byte range (RFC 9110, section 14.1.2): `bytes=first-last`, `bytes=first-` or `bytes=-suffix`. Several ranges, other
 * units and what is no range are passed over, as the RFC allows.
 */
export type ByteRange =
  | { readonly kind: 'from'; readonly first: number; readonly last: number | null }
  | { readonly kind: 'suffix'; readonly length: number }

/** The range that a Range header asks for, `null` for the whole. */
export function parseByteRange(header: string | undefined): ByteRange | null {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.trim() ?? '')
  if (match === null) return null
  const [, first = '', last = ''] = match
  if (first === '') return last === '' ? null : { kind: 'suffix', length: Number(last) }
  if (last === '') return { kind: 'from', first: Number(first), last: null }
  return Number(last) < Number(first)
    ? null
    : { kind: 'from', first: Number(first), last: Number(last) }
}

/** The part of a representation of `size` bytes, `last` included; `null` where there is none (416). */
export function resolveRange(
  range: ByteRange,
  size: number,
): { readonly first: number; readonly last: number } | null {
  switch (range.kind) {
    case 'suffix':
      return range.length === 0 || size === 0
        ? null
        : { first: Math.max(0, size - range.length), last: size - 1 }
    case 'from':
      return range.first >= size
        ? null
        : { first: range.first, last: Math.min(range.last ?? size - 1, size - 1) }
  }
}
