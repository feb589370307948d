import type { Registry } from 'prom-client'
import type { HttpMeter } from '../ports/http-meter.ts'
import { counter } from './counter.ts'

/** Counts what clients ask and are answered. */
export function httpMeter(registry: Registry): HttpMeter {
  const requests = counter(registry, 'weir_http_requests_total', 'Requests by route and status', [
    'route',
    'status',
  ])
  const sent = counter(
    registry,
    'weir_http_sent_bytes_total',
    'Bytes sent to clients, headers included',
    ['route'],
  )
  const answers = {
    narinfo: counter(
      registry,
      'weir_narinfo_answers_total',
      'Narinfo answers by result and upstream',
      ['result', 'upstream'],
    ),
    nar: counter(registry, 'weir_nar_answers_total', 'NAR answers by result and upstream', [
      'result',
      'upstream',
    ]),
  }
  return {
    requested(route, status, sentBytes) {
      requests.inc({ route, status })
      sent.inc({ route }, sentBytes)
    },
    answered({ object, result, upstream }) {
      answers[object].inc({ result, upstream })
    },
  }
}
