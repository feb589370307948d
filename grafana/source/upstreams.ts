import { dashboard } from './dashboard.ts'
import { noneIsGood, worseAbove } from './panel.ts'
import { bars, events, heat, lines, stat, states } from './panels.ts'
import { of, quantile, rate, sum } from './promql.ts'

const answers = 'object="narinfo",result=~"found|absent"'

const state = {
  title: 'State',
  panels: [
    states({
      title: 'Circuit breakers',
      description:
        'Open: not asked, since it failed three times within 30 s or asked for a pause; clients get what the others have. It is probed in the background.',
      queries: [{ expr: of('weir_upstream_breaker_state'), legend: '{{upstream}} {{instance}}' }],
      meanings: {
        0: { text: 'asked', color: 'green' },
        1: { text: 'open', color: 'red' },
        2: { text: 'probed', color: 'yellow' },
      },
      width: 16,
    }),
    stat({
      title: 'Open breakers',
      description: 'Upstreams that are not asked now.',
      queries: [{ expr: sum(`${of('weir_upstream_breaker_state')} > bool 0`) }],
      steps: noneIsGood,
      height: 8,
    }),
    stat({
      title: 'Suspended',
      description:
        'Upstreams that were caught lying, or that somebody suspended. They stay out until `weir upstream resume`.',
      queries: [{ expr: sum(of('weir_upstream_suspended')) }],
      steps: noneIsGood,
      height: 8,
    }),
  ],
}

const questions = {
  title: 'Questions',
  panels: [
    lines({
      ...{ unit: 'reqps', min: 0, isStacked: true },
      title: 'Requests by upstream',
      description:
        'Questions of all kinds: narinfos, NARs, logs, probes. More than clients ask: several upstreams are asked for each path.',
      queries: [
        { expr: sum(rate('weir_upstream_requests_total'), 'upstream'), legend: '{{upstream}}' },
      ],
    }),
    lines({
      ...{ unit: 'reqps', min: 0, isStacked: true },
      title: 'Results',
      description:
        'found, absent (it certainly does not have it) and error (it could not tell), by what was asked for.',
      queries: [
        {
          expr: sum(rate('weir_upstream_requests_total'), 'object', 'result'),
          legend: '{{object}} {{result}}',
        },
      ],
    }),
    lines({
      ...{ unit: 'percentunit', min: 0, max: 1, hasLimits: true },
      title: 'Errors by upstream',
      description:
        'Of its answers, how many could not tell. Probes of one that is down are among them.',
      queries: [
        {
          expr: `${sum(rate('weir_upstream_requests_total', 'result="error"'), 'upstream')} / ${sum(rate('weir_upstream_requests_total'), 'upstream')}`,
          legend: '{{upstream}}',
        },
      ],
      steps: worseAbove(0.01, 0.1),
    }),
    lines({
      ...{ unit: 'reqps', min: 0 },
      title: 'Retries',
      description:
        'Asked again after a failure that may pass. Each upstream has a budget of a tenth of its questions.',
      queries: [
        { expr: sum(rate('weir_upstream_retries_total'), 'upstream'), legend: '{{upstream}}' },
      ],
    }),
    lines({
      ...{ unit: 'reqps', min: 0 },
      title: 'Questions spared',
      description: 'Not asked, since it did not have the path a moment ago (negative_ttl).',
      queries: [
        { expr: sum(rate('weir_negative_hits_total'), 'upstream'), legend: '{{upstream}}' },
      ],
    }),
    lines({
      ...{ unit: 'reqps', min: 0, isStacked: true },
      title: 'Claims trusted',
      description: 'Narinfos that the policy believes, by the upstream that vouches.',
      queries: [
        {
          expr: sum(rate('weir_claims_total', 'result="trusted"'), 'upstream'),
          legend: '{{upstream}}',
        },
      ],
    }),
  ],
}

const latency = {
  title: 'Latency',
  panels: [
    lines({
      ...{ unit: 's', min: 0 },
      title: 'Narinfos, median',
      description: 'Until it said that it has a path, or has not.',
      queries: [
        {
          expr: quantile(0.5, 'weir_upstream_seconds', answers, 'upstream'),
          legend: '{{upstream}}',
        },
      ],
    }),
    lines({
      ...{ unit: 's', min: 0, hasLimits: true },
      title: 'Narinfos, 95 of 100 within',
      description: 'The slowest upstream that has to be waited for is what clients wait for.',
      queries: [
        {
          expr: quantile(0.95, 'weir_upstream_seconds', answers, 'upstream'),
          legend: '{{upstream}}',
        },
      ],
      steps: worseAbove(1, 5),
    }),
    heat({
      unit: 's',
      title: 'All answers',
      description:
        'How the answers of all upstreams spread. A band at a timeout is an upstream that hangs.',
      queries: [
        {
          expr: sum(
            `increase(${of('weir_upstream_seconds_bucket', 'object="narinfo"')}[$__rate_interval])`,
            'le',
          ),
          legend: '{{le}}',
        },
      ],
    }),
  ],
}

const nars = {
  title: 'NARs',
  panels: [
    lines({
      ...{ unit: 'Bps', min: 0, isStacked: true },
      title: 'Fetched',
      description: 'Bytes of NAR files that came from each upstream, in its own encoding.',
      queries: [
        {
          expr: sum(rate('weir_upstream_fetched_bytes_total'), 'upstream'),
          legend: '{{upstream}}',
        },
      ],
    }),
    lines({
      ...{ unit: 'Bps', min: 0, isStacked: true },
      title: 'Saved',
      description: 'NAR bytes that were sent from the disk, by the upstream that vouches for them.',
      queries: [
        {
          expr: sum(rate('weir_nar_sent_bytes_total', 'result="hit"'), 'upstream'),
          legend: '{{upstream}}',
        },
      ],
    }),
    events({
      title: 'NARs that were not given, or wrong',
      description:
        'Since each Weir started, by code. Another upstream took its place where there is one; what is wrong is never delivered or kept.',
      queries: [
        {
          expr: sum(of('weir_nar_source_failures_total'), 'upstream', 'code'),
          legend: '{{upstream}}: {{code}}',
        },
      ],
    }),
    bars({
      title: 'Claims by result',
      description: 'Since each Weir started: trusted, malformed, or why they were refused.',
      queries: [
        {
          expr: sum(of('weir_claims_total'), 'upstream', 'result'),
          legend: '{{upstream}}: {{result}}',
        },
      ],
      width: 24,
    }),
  ],
}

/** Whether an upstream hurts. */
export const upstreams = dashboard({
  uid: 'weir-upstreams',
  title: 'Weir / Upstreams',
  description: 'Whether an upstream hurts: who is asked, how fast, how often in vain.',
  sections: [state, questions, latency, nars],
})
