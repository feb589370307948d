import type { DrvOutput } from '../../src/nix/drv-output.ts'
import type { StorePathHash } from '../../src/nix/store-path.ts'
import type { Upstream, UpstreamBody } from '../../src/ports/upstream.ts'

type Answered<T> = T | null | Promise<T | null>

/** What an upstream in memory says; what is left out it certainly does not have. Answers may be replaced at any time. */
export type FakeAnswers = {
  cacheInfo?: (signal: AbortSignal) => Answered<Uint8Array>
  narinfo?: (hash: StorePathHash, signal: AbortSignal) => Answered<Uint8Array>
  nar?: (url: string, signal: AbortSignal) => Answered<UpstreamBody>
  buildLog?: (derivation: string, signal: AbortSignal) => Answered<UpstreamBody>
  realisation?: (output: DrvOutput, signal: AbortSignal) => Answered<Uint8Array>
}

export type FakeUpstream = Upstream & {
  readonly answers: FakeAnswers
  /** What was asked for, in order, as `narinfo HASH`, `nar URL`, `log DERIVATION` and `realisation ID`. */
  readonly asked: string[]
}

export function createFakeUpstream(name: string, answers: FakeAnswers = {}): FakeUpstream {
  const asked: string[] = []
  const note = (what: string): void => {
    asked.push(what)
  }
  return {
    name,
    answers,
    asked,
    cacheInfo: async (signal) => {
      note('nix-cache-info')
      return (await answers.cacheInfo?.(signal)) ?? null
    },
    narinfo: async (hash, signal) => {
      note(`narinfo ${hash}`)
      return (await answers.narinfo?.(hash, signal)) ?? null
    },
    nar: async (url, signal) => {
      note(`nar ${url}`)
      return (await answers.nar?.(url, signal)) ?? null
    },
    buildLog: async (derivation, signal) => {
      note(`log ${derivation}`)
      return (await answers.buildLog?.(derivation, signal)) ?? null
    },
    realisation: async (output, signal) => {
      note(`realisation ${output.id}`)
      return (await answers.realisation?.(output, signal)) ?? null
    },
    close: async () => undefined,
  }
}
