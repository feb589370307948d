/** Between which bounds a pause grows. */
export type Backoff = { readonly baseMs: number; readonly capMs: number }

/** How long to wait before the try after so many failures (1 or more): anything up to a bound that doubles, so that those who failed together do not come again together. */
export function fullJitterMs(
  failures: number,
  { baseMs, capMs }: Backoff,
  random: () => number,
): number {
  return random() * Math.min(capMs, baseMs * 2 ** (failures - 1))
}
