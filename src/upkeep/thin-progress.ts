/**
 * Events without most of their progress: one that tells only how far it came is left out where another came shortly before, unless it is
 * the last before something else, or before the end.
 */
export async function* thinProgress<T>(
  events: AsyncIterable<T>,
  isProgress: (event: T) => boolean,
  { intervalMs, nowMs }: { readonly intervalMs: number; readonly nowMs: () => number },
): AsyncGenerator<T> {
  let shownAtMs = -Infinity
  let held: readonly T[] = []
  for await (const event of events) {
    if (isProgress(event) && nowMs() - shownAtMs < intervalMs) {
      held = [event]
      continue
    }
    if (!isProgress(event)) yield* held
    held = []
    if (isProgress(event)) shownAtMs = nowMs()
    yield event
  }
  yield* held
}
