import { phasesOf } from '../policy/ask-order.ts'
import { blockOfName } from '../policy/block.ts'
import type { Policy } from '../policy/policy.ts'
import { maySpeakFor } from '../policy/verdict.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { Meter, UpstreamAnswer } from '../ports/meter.ts'
import { type Upstream, type UpstreamBody, UpstreamError } from '../ports/upstream.ts'

export type BuildLogAnswer =
  | { readonly kind: 'found'; readonly body: UpstreamBody }
  | { readonly kind: 'absent' }
  | { readonly kind: 'unknown'; readonly why: string }

/** Build logs, passed on from the first upstream that has one. They are unsigned: text for people, nothing more. */
export type BuildLogs = {
  find(derivation: string, signal: AbortSignal): Promise<BuildLogAnswer>
}

export type BuildLogDeps = {
  readonly upstreams: () => readonly Upstream[]
  readonly policy: () => Policy
  readonly log: Log
  readonly clock: Clock
  readonly meter: Pick<Meter, 'upstreamAnswered'>
}

/** From the question to the log's last byte: a reader who stalls does not hold the upstream's connection for ever. */
const maxLogMs = 2 * 60_000
const maxLogBytes = 64 * 1024 * 1024

/**
 * Asks the upstreams that may vouch for the derivation's name, one after the other: tier by tier, the private ones of a tier first.
 * Nobody is asked for the log of what is recalled.
 */
export function createBuildLogs(deps: BuildLogDeps): BuildLogs {
  return {
    async find(derivation, signal) {
      const policy = deps.policy()
      const name = derivation.slice(derivation.indexOf('-') + 1)
      if (blockOfName(policy.blocks, name) !== null) return { kind: 'absent' }
      const failures: string[] = []
      for (const { upstreams, isPrivate } of phasesOf(policy)) {
        for (const upstream of upstreams.filter((each) => maySpeakFor(policy, each, name))) {
          const body = await ask(deps, upstream, derivation, signal)
          if (body instanceof UpstreamError) failures.push(`${upstream}: ${body.message}`)
          else if (body !== null) return { kind: 'found', body: bounded(body) }
        }
        // Whether a private upstream holds the name is not known: it must not reach the others.
        if (isPrivate && failures.length > 0) break
      }
      return failures.length === 0
        ? { kind: 'absent' }
        : { kind: 'unknown', why: failures.join('; ') }
    },
  }
}

/** What one upstream has; an error where it could not tell and that matters. */
async function ask(
  { upstreams, policy, log, clock, meter }: BuildLogDeps,
  name: string,
  derivation: string,
  signal: AbortSignal,
): Promise<UpstreamBody | UpstreamError | null> {
  const upstream = upstreams().find((each) => each.name === name)
  if (upstream === undefined) return null
  const startedMs = clock.nowMs()
  const measure = (result: UpstreamAnswer['result']): void => {
    const seconds = (clock.nowMs() - startedMs) / 1000
    meter.upstreamAnswered({ upstream: name, object: 'log', result, seconds })
  }
  try {
    const deadline = AbortSignal.timeout(maxLogMs)
    const body = await upstream.buildLog(derivation, AbortSignal.any([signal, deadline]))
    measure(body === null ? 'absent' : 'found')
    return body
  } catch (error) {
    if (!(error instanceof UpstreamError)) throw error
    measure('error')
    const { code, message: reason } = error
    log.warn({ event: 'upstream.failed', upstream: name, object: 'log', code, reason })
    const isOptional = policy().upstreams.some((each) => each.name === name && each.optional)
    return isOptional ? null : error
  }
}

async function* bounded(body: UpstreamBody): AsyncGenerator<Uint8Array> {
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.length
    if (bytes > maxLogBytes) throw new UpstreamError('too-large', 'the build log is too long')
    yield chunk
  }
}
