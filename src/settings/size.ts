const UNITS: ReadonlyMap<string, number> = new Map([
  ['TiB', 1024 ** 4],
  ['GiB', 1024 ** 3],
  ['MiB', 1024 ** 2],
  ['KiB', 1024],
  ['TB', 1000 ** 4],
  ['GB', 1000 ** 3],
  ['MB', 1000 ** 2],
  ['kB', 1000],
  ['KB', 1000],
  ['B', 1],
])

/** Bytes from `200GiB`, `20GB`, `512 MiB` or a plain number of bytes; null for anything else, or what is no safe integer. */
export function parseSize(text: string): number | null {
  const match = /^(\d{1,16}) ?([kKMGT]i?B|B)?$/.exec(text)
  if (!match) return null
  const unit = UNITS.get(match[2] ?? 'B')
  if (unit === undefined) return null
  const bytes = Number(match[1]) * unit
  return Number.isSafeInteger(bytes) ? bytes : null
}

/** The shortest text that `parseSize` reads as exactly these bytes. */
export function formatSize(bytes: number): string {
  for (const [name, size] of UNITS) {
    if (bytes > 0 && size > 1 && bytes % size === 0) return `${bytes / size}${name}`
  }
  return `${bytes}B`
}
