import { type Upstream, type UpstreamBody, UpstreamError } from '../../ports/upstream.ts'
import { elsewhere } from '../upstream-failure.ts'
import { askInTurn, type Said } from './ask-in-turn.ts'
import { createHedge } from './hedging.ts'
import { RootHealth } from './root-health.ts'
import type { Timing } from '../timing.ts'

export type MirrorDeps = {
  readonly timing: Timing
  /** Milliseconds that only grow. */
  readonly nowMs: () => number
  /** Told when a second root is asked because the first is slow. */
  readonly hedged: () => void
}

type Root = { readonly upstream: Upstream; readonly health: RootHealth }
type AskRoot<Answer> = (root: Upstream, signal: AbortSignal) => Promise<Answer | null>
type IsSlow = (root: Root, signal: AbortSignal) => Promise<boolean>

/**
 * Several roots of one cache as one upstream. The first is asked, and the next where it fails or, for narinfos, is slow; one that failed
 * lately comes last. That something is not there is the first one's word: a mirror may lag behind it. But for a NAR, which a narinfo of any of
 * them may have promised: that is asked for everywhere.
 */
export function createMirroredUpstream(
  upstreams: readonly [Upstream, ...Upstream[]],
  deps: MirrorDeps,
): Upstream {
  const [primary] = upstreams
  const roots = upstreams.map((upstream): Root => ({ upstream, health: new RootHealth() }))
  const ask = <Answer>(signal: AbortSignal, askRoot: AskRoot<Answer>, isSlow: IsSlow = never) =>
    askRoots(deps, roots, { askRoot: noting(deps, askRoot), isSlow, absentFor: 'first' }, signal)
  const body = (signal: AbortSignal, absentFor: AbsentFor, askRoot: AskRoot<UpstreamBody>) => {
    const watchedRoot = watching(deps, noting(deps, askRoot))
    return askRoots(deps, roots, { askRoot: watchedRoot, isSlow: never, absentFor }, signal)
  }
  const hedge = createHedge(deps.timing)
  const isSlow: IsSlow = async ({ health }, signal) => {
    const isAskedBesides = await hedge.mayAsk(health.slowAfterMs, signal)
    if (isAskedBesides) deps.hedged()
    return isAskedBesides
  }
  return {
    name: primary.name,
    cacheInfo: (signal) => ask(signal, (root, own) => root.cacheInfo(own)),
    narinfo(hash, signal, ...asking) {
      hedge.asked()
      return ask(signal, (root, own) => root.narinfo(hash, own, ...asking), isSlow)
    },
    nar: (url, signal) => body(signal, 'all', (root, own) => root.nar(url, own)),
    buildLog: (derivation, signal) =>
      body(signal, 'first', (root, own) => root.buildLog(derivation, own)),
    realisation: (output, signal) => ask(signal, (root, own) => root.realisation(output, own)),
    async close() {
      await Promise.all(upstreams.map((upstream) => upstream.close()))
    },
  }
}

const never: IsSlow = () => Promise.resolve(false)

/** Whose word it takes that something is not there. */
type AbsentFor = 'first' | 'all'

type Question<Answer> = {
  readonly askRoot: (root: Root, signal: AbortSignal) => Promise<Answer | null>
  readonly isSlow: IsSlow
  readonly absentFor: AbsentFor
}

async function askRoots<Answer>(
  { nowMs }: MirrorDeps,
  roots: readonly Root[],
  { askRoot, isSlow, absentFor }: Question<Answer>,
  signal: AbortSignal,
): Promise<Answer | null> {
  const [primary] = roots
  const isAvoided = ({ health }: Root): number => Number(health.isAvoided(nowMs()))
  const order = roots.toSorted((one, other) => isAvoided(one) - isAvoided(other))
  const isFound = (said: Said<Root, Answer | null>): boolean =>
    said.kind === 'answered' && said.answer !== null
  const decides = (said: Said<Root, Answer | null>): boolean =>
    absentFor === 'first' && said.root === primary && said.kind === 'answered'
  const all = await askInTurn<Root, Answer | null>(
    order,
    { ask: askRoot, isSlow, isEnough: (said) => isFound(said) || decides(said) },
    signal,
  )
  const failed = absentFor === 'all' ? all.find(mayHaveIt) : undefined
  const told = all.find(isFound) ?? failed ?? all.find(({ root }) => root === primary)
  if (told?.kind === 'answered') return told.answer
  throw elsewhere(told?.error)
}

/** Whether a root that failed may have it: where its address leads out of the root, it was not even asked. */
function mayHaveIt(said: Said<Root, unknown>): boolean {
  if (said.kind !== 'failed') return false
  return !(said.error instanceof UpstreamError && said.error.code === 'url-refused')
}

/** Asks a root, and notes how that went. */
function noting<Answer>({ nowMs }: MirrorDeps, askRoot: AskRoot<Answer>) {
  return async ({ upstream, health }: Root, signal: AbortSignal): Promise<Answer | null> => {
    const startedMs = nowMs()
    try {
      const answer = await askRoot(upstream, signal)
      health.succeeded()
      health.took(nowMs() - startedMs)
      return answer
    } catch (error) {
      health.failed(error, nowMs())
      // What was too slow to be waited for has taken so long at least.
      if (signal.aborted) health.took(nowMs() - startedMs)
      throw error
    }
  }
}

/** The same for bodies: one that breaks off is a failure too. */
function watching(
  { nowMs }: MirrorDeps,
  askRoot: (root: Root, signal: AbortSignal) => Promise<UpstreamBody | null>,
) {
  return async (root: Root, signal: AbortSignal): Promise<UpstreamBody | null> => {
    const body = await askRoot(root, signal)
    return body && watched(body, root.health, nowMs)
  }
}

async function* watched(
  body: UpstreamBody,
  health: RootHealth,
  nowMs: () => number,
): AsyncGenerator<Uint8Array> {
  try {
    yield* body
  } catch (error) {
    health.failed(error, nowMs())
    throw error
  }
}
