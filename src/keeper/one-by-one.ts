/** Runs what is given under one name one after the other, in the order of the calls and whatever becomes of it; other names do not wait. */
export type OneByOne = <T>(name: string, act: () => Promise<T>) => Promise<T>

export function createOneByOne(): OneByOne {
  const ends = new Map<string, Promise<unknown>>()
  return async (name, act) => {
    const run = (ends.get(name) ?? Promise.resolve()).then(act)
    const end = run.catch(() => undefined)
    ends.set(name, end)
    try {
      return await run
    } finally {
      if (ends.get(name) === end) ends.delete(name)
    }
  }
}
