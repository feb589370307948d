const UNITS: ReadonlyMap<string, number> = new Map([
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
])

/** Milliseconds from `500ms`, `30s`, `5m` or `1h`; null for anything else, a number without a unit included. */
export function parseDuration(text: string): number | null {
  const match = /^(\d{1,16}) ?(ms|s|m|h)$/.exec(text)
  const unit = UNITS.get(match?.[2] ?? '')
  if (!match || unit === undefined) return null
  const durationMs = Number(match[1]) * unit
  return Number.isSafeInteger(durationMs) ? durationMs : null
}

/** The shortest text that `parseDuration` reads as exactly these milliseconds. */
export function formatDuration(durationMs: number): string {
  for (const [name, unitMs] of UNITS) {
    if (durationMs > 0 && durationMs % unitMs === 0) return `${durationMs / unitMs}${name}`
  }
  return `${durationMs}ms`
}
