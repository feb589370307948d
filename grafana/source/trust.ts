import { dashboard } from './dashboard.ts'
import { noneIsGood, worseAbove } from './panel.ts'
import { bars, events, lines, stat, states } from './panels.ts'
import { of, rate, sum } from './promql.ts'

const alarms = {
  title: 'Whether someone tries something (since each Weir started)',
  panels: [
    stat({
      title: 'Bad signatures',
      description:
        'Signatures that fail under a key that Weir holds: damage, or somebody who has not the key.',
      queries: [{ expr: sum(of('weir_bad_signatures_total')) }],
      steps: noneIsGood,
      noValue: '0',
    }),
    stat({
      title: 'Lying names',
      description: 'Signed names that contradict a better one. Whoever said them is suspended.',
      queries: [{ expr: sum(of('weir_lying_names_total')) }],
      steps: noneIsGood,
      noValue: '0',
    }),
    stat({
      title: 'Suspended upstreams',
      description: 'Out of use until `weir upstream resume`.',
      queries: [{ expr: sum(of('weir_upstream_suspended')) }],
      steps: noneIsGood,
    }),
    stat({
      title: 'Divergences that matter',
      description: 'Trusted upstreams differ, under a rule that asks for agreement.',
      queries: [{ expr: sum(of('weir_divergences_total', 'agree="wanted"')) }],
      steps: noneIsGood,
      noValue: '0',
    }),
    stat({
      title: 'Other divergences',
      description:
        'Trusted upstreams differ, where no rule minds: most builds are not reproducible to the byte.',
      queries: [{ expr: sum(of('weir_divergences_total', 'agree="not-wanted"')) }],
      noValue: '0',
    }),
    stat({
      title: 'Wrong NARs',
      description:
        'NARs whose bytes are not what their narinfo promises. None is delivered or kept.',
      queries: [
        {
          expr: sum(
            of(
              'weir_nar_source_failures_total',
              'code=~"too-long|too-short|undecodable|.*-mismatch"',
            ),
          ),
        },
      ],
      steps: noneIsGood,
      noValue: '0',
    }),
  ],
}

const verdicts = {
  title: 'Verdicts',
  panels: [
    lines({
      ...{ unit: 'reqps', min: 0, isStacked: true },
      title: 'Verdicts',
      description:
        'On narinfos that clients asked for: trusted, refused, and would-refuse while the policy only reports.',
      queries: [{ expr: sum(rate('weir_verdicts_total'), 'verdict'), legend: '{{verdict}}' }],
    }),
    lines({
      ...{ unit: 'percentunit', min: 0, max: 1, hasLimits: true },
      title: 'Refused',
      description:
        'Of all verdicts. A jump after a reload is a rule that is too strict, or an attack.',
      queries: [
        {
          expr: `${sum(rate('weir_verdicts_total', 'verdict=~"refused|would-refuse"'), 'verdict')} / scalar(${sum(rate('weir_verdicts_total'))})`,
          legend: '{{verdict}}',
        },
      ],
      steps: worseAbove(0.05, 0.2),
    }),
    states({
      title: 'In force',
      description: 'Whether the policy is enforced, or only reports.',
      queries: [{ expr: of('weir_policy_enforced'), legend: '{{instance}}' }],
      meanings: {
        0: { text: 'report only', color: 'yellow' },
        1: { text: 'enforced', color: 'green' },
      },
    }),
    bars({
      title: 'Verdicts by rule (since each Weir started)',
      description: 'Which rules decide; without a name: no rule matched.',
      queries: [
        {
          expr: sum(of('weir_verdicts_total'), 'rule', 'verdict'),
          legend: '{{verdict}}: {{rule}}',
        },
      ],
      width: 12,
      height: 9,
    }),
    bars({
      title: 'Refused, by rule and reason (since each Weir started)',
      description: '`weir explain PATH` says of one path why. The reasons: docs/policy.md.',
      queries: [
        {
          expr: sum(of('weir_verdicts_total', 'verdict="refused"'), 'rule', 'reason'),
          legend: '{{reason}}: {{rule}}',
        },
      ],
      noValue: 'none',
      width: 12,
      height: 9,
    }),
    lines({
      ...{ unit: 'reqps', min: 0, isStacked: true },
      title: 'Refused claims by reason',
      description: 'Claims of all upstreams, also where another one could be believed.',
      queries: [
        {
          expr: sum(rate('weir_claims_total', 'result!="trusted"'), 'result'),
          legend: '{{result}}',
        },
      ],
      width: 12,
    }),
    events({
      title: 'Would be refused',
      description:
        'While the policy only reports: what it would refuse, by reason. Once nothing is counted any more that is needed, it can be enforced.',
      queries: [{ expr: sum(of('weir_would_refuse_total'), 'reason'), legend: '{{reason}}' }],
      width: 12,
    }),
  ],
}

const course = {
  title: 'Who, and when',
  panels: [
    events({
      title: 'Bad signatures',
      description: '`weir explain PATH` shows which key, and what it was said to have signed.',
      queries: [{ expr: sum(of('weir_bad_signatures_total'), 'upstream'), legend: '{{upstream}}' }],
    }),
    events({
      title: 'Lying names',
      description: 'By the upstream that said them.',
      queries: [{ expr: sum(of('weir_lying_names_total'), 'upstream'), legend: '{{upstream}}' }],
    }),
    states({
      title: 'Suspensions',
      description: '`weir upstream list` says why.',
      queries: [{ expr: of('weir_upstream_suspended'), legend: '{{upstream}} {{instance}}' }],
      meanings: { 0: { text: 'in use', color: 'green' }, 1: { text: 'suspended', color: 'red' } },
    }),
    events({
      title: 'Divergences',
      description: 'By rule, and whether that asks for agreement.',
      queries: [
        {
          expr: sum(of('weir_divergences_total'), 'rule', 'agree'),
          legend: '{{rule}} ({{agree}})',
        },
      ],
      width: 12,
    }),
    events({
      title: 'Wrong NARs',
      description: 'By the upstream that gave them, and what was wrong.',
      queries: [
        {
          expr: sum(
            of(
              'weir_nar_source_failures_total',
              'code=~"too-long|too-short|undecodable|.*-mismatch"',
            ),
            'upstream',
            'code',
          ),
          legend: '{{upstream}}: {{code}}',
        },
      ],
      width: 12,
    }),
  ],
}

/** Whether someone tries something. */
export const trust = dashboard({
  uid: 'weir-trust',
  title: 'Weir / Trust',
  description: 'Whether someone tries something: verdicts, signatures, names, divergences.',
  sections: [alarms, verdicts, course],
})
