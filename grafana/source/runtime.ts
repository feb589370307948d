import { worseAbove } from './panel.ts'
import { bars, lines } from './panels.ts'
import { of, sum } from './promql.ts'

/** How the process and its machine are. */
export const runtime = {
  title: 'The process',
  panels: [
    lines({
      min: 0,
      title: 'Transfers',
      description:
        'NARs on their way in, and those that wait for a place (nar.max_transfers). Many that wait for long: upstreams are slow, or there are few places.',
      queries: [
        { expr: sum(of('weir_transfers_running'), 'instance'), legend: 'running {{instance}}' },
        { expr: sum(of('weir_transfers_waiting'), 'instance'), legend: 'waiting {{instance}}' },
      ],
    }),
    lines({
      unit: 's',
      min: 0,
      title: 'Event loop, p99 of its delay',
      description:
        'Above 10 ms for long, clients wait for each other; above 50 ms there is an alert.',
      queries: [{ expr: of('nodejs_eventloop_lag_p99_seconds'), legend: '{{instance}}' }],
      hasLimits: true,
      steps: worseAbove(0.01, 0.05),
    }),
    lines({
      unit: 'bytes',
      min: 0,
      title: 'Memory',
      description: 'What the process takes (RSS). It follows the transfers, and not the cache.',
      queries: [{ expr: of('process_resident_memory_bytes'), legend: '{{instance}}' }],
    }),
    lines({
      unit: 'percentunit',
      min: 0,
      title: 'Processor',
      description:
        'Cores in use. Decompressing and verifying are most of it, on threads of their own.',
      queries: [
        {
          expr: `rate(${of('process_cpu_seconds_total')}[$__rate_interval])`,
          legend: '{{instance}}',
        },
      ],
    }),
    lines({
      unit: 'percentunit',
      min: 0,
      max: 1,
      title: 'Disk: how full the cache is',
      description:
        'Of cache.max_size. Near 100 % is as it should be: what was used longest ago goes.',
      queries: [
        {
          expr: `${of('weir_cache_bytes')} / ${of('weir_cache_limit_bytes')}`,
          legend: '{{instance}}',
        },
      ],
      hasLimits: true,
      steps: [
        { from: null, color: 'green' },
        { from: 1, color: 'red' },
      ],
    }),
    bars({
      title: 'Reloads',
      description: 'Configurations that were taken, and refused: then the old one stays in force.',
      queries: [{ expr: sum(of('weir_reloads_total'), 'result'), legend: '{{result}}' }],
      decimals: 0,
      noValue: '0',
    }),
  ],
}
