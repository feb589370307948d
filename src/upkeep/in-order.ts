/** Does tasks, several at the same time, and gives their results in the tasks' order; the first that fails ends it. */
export async function* inOrder<T>(
  tasks: AsyncIterable<() => Promise<T>>,
  parallel: number,
): AsyncGenerator<T> {
  const running: Promise<T>[] = []
  try {
    for await (const task of tasks) {
      const started = task()
      // Whoever fails is awaited in its turn.
      started.catch(() => undefined)
      running.push(started)
      if (running.length < parallel) continue
      const first = running.shift()
      if (first !== undefined) yield await first
    }
    while (running.length > 0) {
      const first = running.shift()
      if (first !== undefined) yield await first
    }
  } finally {
    await Promise.allSettled(running)
  }
}
