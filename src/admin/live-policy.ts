import { isDeepStrictEqual } from 'node:util'
import type { Block } from '../policy/block.ts'
import type { Policy } from '../policy/policy.ts'
import { policyOf } from '../settings/policy-of.ts'
import type { Settings } from '../settings/settings.ts'

/** The policy of now: the configuration's, with the recalls and suspensions that operators and events added. */
export type LivePolicy = {
  readonly current: () => Policy
  readonly settings: () => Settings
  /** Takes another configuration: from this moment nothing is judged by the old one. */
  readonly reconfigure: (settings: Settings) => void
  /** Takes up what changed in the recalls and suspensions, in the same way. */
  readonly refresh: () => void
}

export type LivePolicyDeps = {
  readonly recalls: { blocks(): readonly Block[] }
  readonly suspensions: { names(): ReadonlySet<string> }
  /** Called within the change, before anything else can run: whoever remembers verdicts forgets them. */
  readonly changed: (policy: Policy) => void
}

/** What verdicts rest on, who is asked for them and whether, and how answers are signed and what they name. */
function judged(settings: Settings): unknown {
  const { upstreams, timeouts, network, rules, policy, blocks, importKeys, nar, signing } = settings
  const { maxNarBytes, encoding } = nar
  return [
    ...[upstreams, timeouts, network.mode, rules, policy, blocks, importKeys],
    ...[maxNarBytes, encoding, signing.mode],
  ]
}

export function createLivePolicy(initial: Settings, deps: LivePolicyDeps): LivePolicy {
  const make = (settings: Settings): Policy =>
    policyOf(settings, { blocks: deps.recalls.blocks(), suspended: deps.suspensions.names() })
  let settings = initial
  let policy = make(settings)
  const take = (next: Settings): void => {
    policy = make(next)
    settings = next
    deps.changed(policy)
  }
  return {
    current: () => policy,
    settings: () => settings,
    reconfigure(next) {
      // Where nothing else than other parts of Weir are concerned, nobody who remembers verdicts is disturbed.
      const isSame = isDeepStrictEqual(judged(next), judged(settings))
      if (isSame) settings = next
      else take(next)
    },
    refresh: () => {
      if (make(settings).epoch !== policy.epoch) take(settings)
    },
  }
}
