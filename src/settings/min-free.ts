import { z } from 'zod'
import { parseSize } from './size.ts'

/** How much of a file system is to stay free. */
export type MinFree =
  /** A little of a large file system, and less of a small one. */
  | { readonly kind: 'auto' }
  | { readonly kind: 'bytes'; readonly bytes: number }
  | { readonly kind: 'percent'; readonly percent: number }

const autoBytes = 1024 ** 3
const autoPercent = 5

const MIN_FREE_ALLOWED =
  '"auto", a part of the file system such as "5%" (0 to 90), a size such as "10GiB", or a whole number of bytes'

/** The bytes that are to stay free of a file system of `totalBytes`. */
export function minFreeBytes(minFree: MinFree, totalBytes: number): number {
  switch (minFree.kind) {
    case 'auto':
      return Math.min(autoBytes, Math.floor((totalBytes * autoPercent) / 100))
    case 'bytes':
      return minFree.bytes
    case 'percent':
      return Math.floor((totalBytes * minFree.percent) / 100)
  }
}

/** A floor of free space, as it is written. */
export function minFreeField() {
  return z
    .union([z.string(), z.int().min(0)], { error: MIN_FREE_ALLOWED })
    .transform((written, context) => {
      const minFree = parseMinFree(written)
      if (minFree !== null) return minFree
      context.addIssue({ code: 'custom', message: MIN_FREE_ALLOWED })
      return z.NEVER
    })
}

function parseMinFree(written: string | number): MinFree | null {
  if (written === 'auto') return { kind: 'auto' }
  const percent = /^(\d{1,2})%$/.exec(String(written))?.[1]
  if (percent !== undefined) {
    return Number(percent) > 90 ? null : { kind: 'percent', percent: Number(percent) }
  }
  const bytes = typeof written === 'number' ? written : parseSize(written)
  return bytes === null ? null : { kind: 'bytes', bytes }
}
