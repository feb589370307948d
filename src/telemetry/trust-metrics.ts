import type { Registry } from 'prom-client'
import type { Meter } from '../ports/meter.ts'
import { counter } from './counter.ts'

/** A rule by its name, and whether it wants upstreams to agree. */
export type RuleLabels = { readonly name: string; readonly wantsAgreement: boolean }

/** What there is that may be spoken against. */
export type TrustLabels = {
  readonly upstreams: () => readonly string[]
  readonly rules: () => readonly RuleLabels[]
}

/** Counts what speaks against an upstream, or the policy. */
export function trustMeter(
  registry: Registry,
  { upstreams, rules }: TrustLabels,
): Pick<Meter, 'badSignature' | 'diverged' | 'nameLied' | 'wouldRefuse'> {
  const ofEach = (): readonly [string][] => upstreams().map((upstream) => [upstream])
  const ofUpstream = (name: string, help: string) =>
    counter(registry, { name, help, labels: ['upstream'] }, ofEach)
  const bad = ofUpstream(
    'weir_bad_signatures_total',
    'Signatures that failed under a key that Weir holds',
  )
  const lies = ofUpstream(
    'weir_lying_names_total',
    'Signed names that contradict a better one; the upstream is suspended',
  )
  const divergences = counter(
    registry,
    {
      name: 'weir_divergences_total',
      help: 'Paths of which trusted claims differ, by rule and whether that rule wants agreement (wanted, not-wanted)',
      labels: ['rule', 'agree'],
    },
    () => rules().map(({ name, wantsAgreement }) => [name, agreeLabel(wantsAgreement)] as const),
  )
  const wouldRefuse = counter(registry, {
    name: 'weir_would_refuse_total',
    help: 'Report only: narinfos that were answered and that the policy would refuse, by reason',
    labels: ['reason'],
  })
  return {
    badSignature(upstream) {
      bad.add([upstream])
    },
    diverged({ rule, wantsAgreement }) {
      divergences.add([rule ?? '', agreeLabel(wantsAgreement)])
    },
    nameLied(upstream) {
      lies.add([upstream])
    },
    wouldRefuse(reason) {
      wouldRefuse.add([reason])
    },
  }
}

function agreeLabel(wantsAgreement: boolean): string {
  return wantsAgreement ? 'wanted' : 'not-wanted'
}
