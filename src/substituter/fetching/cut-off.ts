/** Work that can be broken off together; what begins afterwards goes on. */
export type CutOff = {
  /** Does `act` with a signal that is aborted with the given one, or when all is cut off: then it is `null`, and no error. */
  during<T>(signal: AbortSignal, act: (signal: AbortSignal) => Promise<T>): Promise<T | null>
  cut(): void
}

export function createCutOff(): CutOff {
  let cutting = new AbortController()
  return {
    async during(signal, act) {
      const cut = cutting.signal
      try {
        return await act(AbortSignal.any([signal, cut]))
      } catch (error) {
        if (!cut.aborted || signal.aborted) throw error
        return null
      }
    },
    cut() {
      cutting.abort()
      cutting = new AbortController()
    },
  }
}
