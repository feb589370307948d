import { worseAbove, worseBelow } from './panel.ts'
import { stat, states, table, total } from './panels.ts'
import { hitRatio, of, quantile, rate, risen, sum } from './promql.ts'

const ratio = { unit: 'percentunit', min: 0, max: 1, decimals: 1 } as const
const narinfo = 'route="narinfo"'

/** Errors a second, also while there never was one. */
const errorsOf = (metric: string) => `(${sum(rate(metric, 'result="error"'))} or vector(0))`

/** What the overview begins with. */
export const glance = {
  title: 'At a glance',
  panels: [
    total({
      ...ratio,
      title: 'NARs from disk',
      description:
        'Of the NARs that clients were sent in the time shown, how many came from the disk. Low for long: the cache is too small, or its paths are asked for once.',
      queries: [{ expr: hitRatio(risen, 'weir_nar_answers_total') }],
      steps: worseBelow(0.2, 0.5),
    }),
    total({
      ...ratio,
      title: 'NAR bytes from disk',
      description: 'The same by bytes: which part of the traffic cost the network nothing.',
      queries: [{ expr: hitRatio(risen, 'weir_nar_sent_bytes_total') }],
      steps: worseBelow(0.2, 0.5),
    }),
    total({
      ...ratio,
      title: 'Narinfos of stored paths',
      description: 'Of the narinfos that were found, how many have their NAR on the disk.',
      queries: [{ expr: hitRatio(risen, 'weir_narinfo_answers_total') }],
      steps: worseBelow(0.2, 0.5),
    }),
    total({
      unit: 'bytes',
      title: 'Bytes saved',
      description:
        'NAR bytes that clients were sent from the disk in the time shown: what no upstream had to send.',
      queries: [{ expr: sum(risen('weir_nar_sent_bytes_total', 'result="hit"')) }],
    }),
    stat({
      ...ratio,
      title: 'Errors',
      description:
        'Of the narinfos and NARs asked for, how many could not be told or given, because an upstream is down. Clients retry, and then may build by themselves.',
      queries: [
        {
          expr:
            `(${errorsOf('weir_narinfo_answers_total')} + ${errorsOf('weir_nar_answers_total')})` +
            ` / (${sum(rate('weir_narinfo_answers_total'))} + ${sum(rate('weir_nar_answers_total'))})`,
        },
      ],
      steps: worseAbove(0.01, 0.05),
    }),
    stat({
      unit: 's',
      title: 'Narinfo, 99 of 100 within',
      description: 'How long the slowest of a hundred clients waits for a narinfo.',
      queries: [{ expr: quantile(0.99, 'weir_http_request_seconds', narinfo) }],
      steps: worseAbove(0.5, 2),
    }),
  ],
}

/** Which instances there are, and what is wrong with them. */
export const instances = {
  title: 'Instances',
  panels: [
    table({
      title: 'Alerts that fire',
      description: 'What to do about each: docs/monitoring.md.',
      queries: [{ expr: `ALERTS{alertname=~"Weir.*",alertstate="firing"}` }],
      columns: {
        ...{ severity: 'severity', alertname: 'alert', instance: 'instance' },
        ...{ upstream: 'upstream', rule: 'rule' },
      },
      value: 'fires',
      width: 12,
      height: 6,
      noValue: 'none',
    }),
    table({
      title: 'Instances',
      description: 'Each Weir with its version; the address leads to its own page.',
      queries: [
        {
          expr: `time() - max by (instance, version) (${of('process_start_time_seconds')} * on (instance) group_left (version) ${of('weir_build_info')})`,
        },
      ],
      unit: 's',
      columns: { instance: 'instance', version: 'version' },
      value: 'runs for',
      link: { title: 'Its own page', url: 'http://${__value.raw}/' },
      width: 6,
      height: 6,
    }),
    states({
      title: 'State',
      description:
        'Whether upstreams are asked, and NARs kept. Offline, only what is stored is served; while NARs are not kept, each is fetched anew.',
      queries: [
        { expr: of('weir_offline'), legend: 'offline {{instance}}' },
        { expr: `1 - ${of('weir_cache_storing')}`, legend: 'not storing {{instance}}' },
        { expr: `1 - ${of('weir_policy_enforced')}`, legend: 'report only {{instance}}' },
      ],
      meanings: { 0: { text: 'no', color: 'green' }, 1: { text: 'yes', color: 'red' } },
      width: 6,
      height: 6,
    }),
  ],
}
