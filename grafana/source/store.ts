import { dashboard } from './dashboard.ts'
import { noneIsGood, worseBelow } from './panel.ts'
import { events, lines, stat, states } from './panels.ts'
import { of, rate, sum } from './promql.ts'

const now = {
  title: 'Now',
  panels: [
    stat({
      ...{ unit: 'percentunit', decimals: 1, min: 0 },
      title: 'Full',
      description: 'Of cache.max_size, where it is fullest. Above 100 % more is pinned than fits.',
      queries: [{ expr: `max(${of('weir_cache_bytes')} / ${of('weir_cache_limit_bytes')})` }],
      steps: [
        { from: null, color: 'green' },
        { from: 1, color: 'red' },
      ],
    }),
    stat({
      title: 'NARs',
      description: 'NAR files in the caches.',
      queries: [{ expr: sum(of('weir_cache_nars')) }],
    }),
    stat({
      unit: 'bytes',
      title: 'Free above the floor',
      description:
        'What the file system has left above cache.min_free, where there is least. Below 0 NARs are evicted, however small the cache is.',
      queries: [
        { expr: `min(${of('weir_cache_free_bytes')} - ${of('weir_cache_min_free_bytes')})` },
      ],
      steps: worseBelow(0, 1e9),
    }),
    stat({
      unit: 's',
      title: 'Kept for',
      description:
        'How long ago the NAR that goes next was used, where that is shortest. Short: the cache is too small for what is asked for.',
      queries: [{ expr: `min(time() - ${of('weir_cache_oldest_use_timestamp_seconds')})` }],
      noValue: 'empty',
    }),
    stat({
      title: 'Not kept',
      description:
        'NARs that could not be written, since each Weir started. Clients got them all the same.',
      queries: [{ expr: sum(of('weir_store_failures_total')) }],
      steps: noneIsGood,
      noValue: '0',
    }),
    stat({
      title: 'Found wrong',
      description: 'Stored NARs that `weir verify` found wrong since each Weir started.',
      queries: [{ expr: sum(of('weir_verify_failures_total')) }],
      steps: noneIsGood,
      noValue: '0',
    }),
  ],
}

const room = {
  title: 'Room',
  panels: [
    lines({
      ...{ unit: 'bytes', min: 0 },
      title: 'Size, limit and pins',
      description: 'What the cache takes, what it may take, and what of it is never evicted.',
      queries: [
        { expr: of('weir_cache_bytes'), legend: 'size {{instance}}' },
        { expr: of('weir_cache_limit_bytes'), legend: 'limit {{instance}}' },
        { expr: of('weir_cache_pinned_bytes'), legend: 'pinned {{instance}}' },
      ],
    }),
    lines({
      ...{ unit: 'bytes', min: 0 },
      title: 'Free, and the floor',
      description:
        'What is free on the file system, and what is to stay free (cache.min_free). Below it for long: others fill the disk.',
      queries: [
        { expr: of('weir_cache_free_bytes'), legend: 'free {{instance}}' },
        { expr: of('weir_cache_min_free_bytes'), legend: 'floor {{instance}}' },
      ],
    }),
    lines({
      ...{ unit: 's', min: 0 },
      title: 'Last use of what goes next',
      description: 'How long ago the NAR that was used longest ago was used.',
      queries: [
        {
          expr: `time() - ${of('weir_cache_oldest_use_timestamp_seconds')}`,
          legend: '{{instance}}',
        },
      ],
    }),
    lines({
      ...{ unit: 'Bps', min: 0 },
      title: 'Evicted bytes a second',
      description:
        'What went to make room. As much as comes in: the cache is full, and turns over.',
      queries: [
        { expr: sum(rate('weir_cache_evicted_bytes_total'), 'instance'), legend: '{{instance}}' },
      ],
    }),
    lines({
      ...{ unit: 'ops', min: 0 },
      title: 'Evictions a second',
      description: 'NARs that went to make room.',
      queries: [
        { expr: sum(rate('weir_cache_evictions_total'), 'instance'), legend: '{{instance}}' },
      ],
    }),
    states({
      title: 'Storing',
      description:
        'While NARs cannot be written they are handed on only, each fetched anew. It ends by itself once there is room.',
      queries: [{ expr: of('weir_cache_storing'), legend: '{{instance}}' }],
      meanings: {
        0: { text: 'handed on only', color: 'red' },
        1: { text: 'kept', color: 'green' },
      },
    }),
  ],
}

const work = {
  title: 'Work',
  panels: [
    lines({
      ...{ unit: 'ops', min: 0, isStacked: true },
      title: 'NARs taken in',
      description: 'stored, streamed (handed on without being kept) or failed.',
      queries: [{ expr: sum(rate('weir_nars_ingested_total'), 'result'), legend: '{{result}}' }],
    }),
    lines({
      min: 0,
      title: 'Ingest queue',
      description:
        'NARs on their way, those that wait for a place, and the threads that decode and verify them.',
      queries: [
        { expr: sum(of('weir_transfers_running')), legend: 'running' },
        { expr: sum(of('weir_transfers_waiting')), legend: 'waiting' },
        { expr: sum(of('weir_ingest_threads')), legend: 'threads' },
      ],
    }),
    lines({
      ...{ unit: 'ops', min: 0 },
      title: 'Read ahead',
      description: 'NARs fetched before anybody asked for them (nar.read_ahead).',
      queries: [
        { expr: sum(rate('weir_nars_read_ahead_total'), 'instance'), legend: '{{instance}}' },
      ],
    }),
    events({
      title: 'Could not be kept',
      description: "Since each Weir started, by the system's code: ENOSPC is a full disk.",
      queries: [
        {
          expr: sum(of('weir_store_failures_total'), 'code'),
          legend: '{{code}}',
        },
      ],
      width: 12,
    }),
    events({
      title: 'Found wrong by weir verify',
      description:
        'Since each Weir started, by finding. They are put aside, and fetched again when asked for.',
      queries: [
        {
          expr: sum(of('weir_verify_failures_total'), 'finding'),
          legend: '{{finding}}',
        },
      ],
      width: 12,
    }),
  ],
}

/** How the disk is. */
export const store = dashboard({
  uid: 'weir-store',
  title: 'Weir / Store',
  description:
    'How the disk is: size, room, evictions, what could not be kept, what was found wrong.',
  sections: [now, room, work],
})
