import { dashboard } from './dashboard.ts'
import { glance, instances } from './glance.ts'
import { worseAbove } from './panel.ts'
import { heat, lines } from './panels.ts'
import { runtime } from './runtime.ts'
import { hitRatio, of, quantile, rate, sum } from './promql.ts'

const ratio = { unit: 'percentunit', min: 0, max: 1, decimals: 1 } as const
const narinfo = 'route="narinfo"'

const traffic = {
  title: 'Traffic',
  panels: [
    lines({
      ...ratio,
      title: 'From disk',
      description:
        'Hit ratios over time: narinfos whose NAR is stored, NARs from the disk, and the same by bytes.',
      queries: [
        { expr: hitRatio(rate, 'weir_narinfo_answers_total'), legend: 'narinfos' },
        { expr: hitRatio(rate, 'weir_narinfo_sent_bytes_total'), legend: 'narinfo bytes' },
        { expr: hitRatio(rate, 'weir_nar_answers_total'), legend: 'NARs' },
        { expr: hitRatio(rate, 'weir_nar_sent_bytes_total'), legend: 'NAR bytes' },
      ],
    }),
    lines({
      unit: 'Bps',
      min: 0,
      title: 'Bytes a second',
      description:
        'Sent to clients, and fetched from upstreams. Upstreams send other encodings, and read ahead: the second may be above the first for a while.',
      queries: [
        { expr: sum(rate('weir_http_sent_bytes_total')), legend: 'to clients' },
        { expr: sum(rate('weir_upstream_fetched_bytes_total')), legend: 'from upstreams' },
        {
          expr: sum(rate('weir_nar_sent_bytes_total', 'result="hit"')),
          legend: 'saved: from disk',
        },
      ],
    }),
    lines({
      unit: 'reqps',
      min: 0,
      isStacked: true,
      title: 'Requests a second',
      description: 'Answered requests, by what was asked for.',
      queries: [{ expr: sum(rate('weir_http_requests_total'), 'route'), legend: '{{route}}' }],
    }),
    lines({
      unit: 'reqps',
      min: 0,
      isStacked: true,
      title: 'Narinfos by result',
      description:
        'hit: its NAR is stored. miss: it is not. refused: by the policy. absent: nobody has it. error: an upstream could not tell.',
      queries: [{ expr: sum(rate('weir_narinfo_answers_total'), 'result'), legend: '{{result}}' }],
    }),
    lines({
      unit: 'reqps',
      min: 0,
      isStacked: true,
      title: 'NARs by result',
      description: 'hit: from the disk. miss: fetched, or read along with who fetched it.',
      queries: [{ expr: sum(rate('weir_nar_answers_total'), 'result'), legend: '{{result}}' }],
    }),
    lines({
      unit: 'reqps',
      min: 0,
      title: 'Errors and refusals',
      description:
        'Answers with a status of 5xx, by route, and narinfos that the policy refused. A refusal is the policy at work; an error is an upstream, a disk or Weir itself.',
      queries: [
        {
          expr: sum(rate('weir_http_requests_total', 'status=~"5.."'), 'route'),
          legend: '5xx {{route}}',
        },
        {
          expr: sum(rate('weir_narinfo_answers_total', 'result="refused"')),
          legend: 'refused narinfos',
        },
      ],
    }),
  ],
}

const quantiles = [0.5, 0.95, 0.99] as const

const latency = {
  title: 'Latency',
  panels: [
    lines({
      unit: 's',
      min: 0,
      title: 'Narinfos',
      description:
        'From a request to the end of its answer. The median is what is stored; the upper lines are what upstreams have to be asked for.',
      queries: quantiles.map((share) => ({
        expr: quantile(share, 'weir_http_request_seconds', narinfo),
        legend: `p${share * 100}`,
      })),
      hasLimits: true,
      steps: worseAbove(0.5, 2),
    }),
    heat({
      unit: 's',
      title: 'Narinfos, all of them',
      description:
        'Two bands are usual: what is remembered or stored, and what has to be asked for.',
      queries: [
        {
          expr: sum(
            `increase(${of('weir_http_request_seconds_bucket', narinfo)}[$__rate_interval])`,
            'le',
          ),
          legend: '{{le}}',
        },
      ],
    }),
    lines({
      unit: 's',
      min: 0,
      title: 'NARs',
      description:
        'Until the last byte was sent: it grows with their sizes, and with how fast clients read.',
      queries: quantiles.map((share) => ({
        expr: quantile(share, 'weir_http_request_seconds', 'route="nar"'),
        legend: `p${share * 100}`,
      })),
    }),
  ],
}

/** Whether Weir helps, at a glance. */
export const overview = dashboard({
  uid: 'weir-overview',
  title: 'Weir / Overview',
  description: 'Whether Weir helps: what came from the disk, how fast, and what went wrong.',
  sections: [glance, instances, traffic, latency, runtime],
})
