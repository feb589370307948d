/** Numbers as people read them. */

const binaryUnits = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** Bytes: `812 B`, `1.4 KiB`, `230 MiB`. */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 'B'
  for (const next of binaryUnits) {
    if (value < 1000) break
    value /= 1024
    unit = next
  }
  return `${unit === 'B' || value >= 100 ? String(Math.round(value)) : value.toFixed(1)} ${unit}`
}

/** A whole number with its thousands apart: `12,345`. */
export function formatNumber(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: 0 })
}

/** A number with its noun: `1 rule`, `2,000 rules`. */
export function formatCount(number: number, noun: string): string {
  return `${formatNumber(number)} ${noun}${number === 1 ? '' : 's'}`
}

/** A ratio from 0 to 1 in per cent, never rounded up to all or down to nothing. */
export function formatRatio(ratio: number): string {
  const percent = ratio * 100
  if (Number.isInteger(percent)) return `${percent} %`
  return `${Math.min(99.9, Math.max(0.1, percent)).toFixed(1)} %`
}

/** How often something happens a second: `0.3`, `12`, `1,200`. */
export function formatRate(perSecond: number): string {
  return perSecond > 0 && perSecond < 10 ? perSecond.toFixed(1) : formatNumber(perSecond)
}

/** How long an answer took: `0.4 ms`, `38 ms`, `1.2 s`. */
export function formatMs(ms: number): string {
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`
  return ms >= 10 ? `${Math.round(ms)} ms` : `${ms.toFixed(1)} ms`
}

const spans: readonly (readonly [number, string])[] = [
  [86_400_000, 'day'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1000, 's'],
]

/** A span of time in its largest unit: `3 s`, `5 min`, `2 h`, `4 days`. */
export function formatSpan(ms: number): string {
  const [unitMs, unit] = spans.find(([each]) => ms >= each) ?? [1000, 's']
  const number = Math.max(0, Math.floor(ms / unitMs))
  return unit === 'day' ? formatCount(number, 'day') : `${number} ${unit}`
}

/** How long ago a time was: `now`, `3 s ago`, `4 days ago`. */
export function formatAge(atMs: number, nowMs: number): string {
  return nowMs - atMs < 1000 ? 'now' : `${formatSpan(nowMs - atMs)} ago`
}
