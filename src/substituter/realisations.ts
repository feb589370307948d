import type { DrvOutput } from '../nix/drv-output.ts'
import { parseRealisation } from '../nix/parse-realisation.ts'
import { formatRealisation } from '../nix/realisation.ts'
import { judgeRealisation, type RealisationRefusal } from '../policy/judge-realisation.ts'
import type { Policy } from '../policy/policy.ts'
import type { Log } from '../ports/log.ts'
import { type Upstream, UpstreamError } from '../ports/upstream.ts'
import { askingOrder } from './finding/asking-order.ts'

/** One upstream's realisation that the policy refuses; `path` is the base name of the output path at fault. */
export type RefusedRealisation = {
  readonly upstream: string
  readonly reason: RealisationRefusal
  readonly path: string
}

export type RealisationAnswer =
  | { readonly kind: 'found'; readonly body: string; readonly upstream: string }
  | { readonly kind: 'absent' }
  | { readonly kind: 'refused'; readonly refusals: readonly RefusedRealisation[] }
  /** An upstream that is not optional could not tell. */
  | { readonly kind: 'unknown'; readonly why: string }
  /** No upstream was asked. */
  | { readonly kind: 'disabled' }

/** What outputs of derivations turned out to be, as far as somebody who may vouch for their names has signed it. */
export type Realisations = {
  /** Throws the signal's reason where it is aborted. */
  find(output: DrvOutput, signal: AbortSignal): Promise<RealisationAnswer>
}

export type RealisationDeps = {
  readonly upstreams: () => readonly Upstream[]
  readonly policy: () => Policy
  readonly isEnabled: () => boolean
  readonly log: Log
  /** How long an upstream may take. */
  readonly timeoutMs: number
}

/** Asks the upstreams one after the other, in the policy's order; the first realisation that is trusted is made anew and handed on. */
export function createRealisations(deps: RealisationDeps): Realisations {
  return {
    async find(output, signal) {
      const refusals: RefusedRealisation[] = []
      const failures: string[] = []
      for (const { name, private: isPrivate } of askingOrder(deps.policy())) {
        if (!deps.isEnabled()) return { kind: 'disabled' }
        const upstream = deps.upstreams().find((one) => one.name === name)
        if (upstream === undefined || deps.policy().suspended.has(name)) continue
        const answer = await ask(deps, upstream, output, signal)
        switch (answer.kind) {
          case 'found':
            return deps.isEnabled() ? answer : { kind: 'disabled' }
          case 'refused':
            refusals.push(answer.refusal)
            break
          case 'unknown':
            failures.push(`${name}: ${answer.why}`)
            break
          case 'absent':
            continue
        }
        // Whether it has the output is its own affair as long as it has, or may have it.
        if (isPrivate) break
      }
      if (!deps.isEnabled()) return { kind: 'disabled' }
      if (failures.length > 0) return { kind: 'unknown', why: failures.join('; ') }
      return refusals.length > 0 ? { kind: 'refused', refusals } : { kind: 'absent' }
    },
  }
}

type Asked =
  | Extract<RealisationAnswer, { kind: 'found' | 'absent' }>
  | { readonly kind: 'refused'; readonly refusal: RefusedRealisation }
  | { readonly kind: 'unknown'; readonly why: string }

/** What one upstream says; where it is optional, "could not tell" is "does not have it". */
async function ask(
  deps: RealisationDeps,
  upstream: Upstream,
  output: DrvOutput,
  signal: AbortSignal,
): Promise<Asked> {
  const { name } = upstream
  let answer: Asked
  try {
    const inTime = AbortSignal.any([signal, AbortSignal.timeout(deps.timeoutMs)])
    const bytes = await upstream.realisation(output, inTime)
    answer = bytes === null ? { kind: 'absent' } : judgeBytes(deps, name, output, bytes)
  } catch (error) {
    if (!(error instanceof UpstreamError)) throw error
    const { code, message: reason } = error
    deps.log.warn({ event: 'upstream.failed', upstream: name, object: 'realisation', code, reason })
    answer = { kind: 'unknown', why: `${code}, ${reason}` }
  }
  const optional = deps.policy().upstreams.find((one) => one.name === name)?.optional ?? false
  return answer.kind === 'unknown' && optional ? { kind: 'absent' } : answer
}

/** By the policy of the moment after the answer: what was asked under another one is worth what this one says. */
function judgeBytes(
  { policy, log }: RealisationDeps,
  upstream: string,
  output: DrvOutput,
  bytes: Uint8Array,
): Asked {
  const parsed = parseRealisation(bytes, output)
  if (parsed.kind === 'malformed') {
    const place = parsed.field === null ? '' : `${parsed.field}: `
    const reason = `${place}${parsed.reason}`
    log.warn({ event: 'realisation.malformed', upstream, output: output.id, reason })
    return { kind: 'unknown', why: `malformed, ${reason}` }
  }
  const verdict = judgeRealisation(policy(), upstream, output, parsed.realisation)
  for (const keyName of verdict.badSignatures) {
    log.warn({ event: 'signature.bad', upstream, output: output.id, keyName })
  }
  if (verdict.kind === 'refused') {
    const { reason } = verdict
    const path = verdict.path.baseName
    log.warn({ event: 'realisation.refused', upstream, output: output.id, path, reason })
    // As with narinfos, what is no answer to the question leaves it open.
    if (reason === 'malformed') return { kind: 'unknown', why: 'malformed, about another output' }
    return { kind: 'refused', refusal: { upstream, reason, path } }
  }
  const { realisation, keys } = verdict
  log.info({
    event: 'realisation.trusted',
    upstream,
    output: output.id,
    path: realisation.outPath.baseName,
    keys: keys.map((key) => key.name),
  })
  return { kind: 'found', body: formatRealisation(realisation), upstream }
}
