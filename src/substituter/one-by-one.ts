/** Runs what is given under one name one after the other, whatever becomes of it; other names do not wait. */
export type OneByOne = (name: string, act: () => Promise<void>) => Promise<void>

export function createOneByOne(): OneByOne {
  const ends = new Map<string, Promise<void>>()
  return async (name, act) => {
    const run = (ends.get(name) ?? Promise.resolve()).then(act)
    const end = run.catch(() => undefined)
    ends.set(name, end)
    try {
      await run
    } finally {
      if (ends.get(name) === end) ends.delete(name)
    }
  }
}
