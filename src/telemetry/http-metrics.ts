import type { Registry } from 'prom-client'
import type { Answered, HttpMeter } from '../ports/http-meter.ts'
import { counter } from './counter.ts'
import { histogram } from './histogram.ts'

/** Seconds: a narinfo that is known takes less than one of the first, a large NAR as long as its client does. */
const answerBounds = [
  ...[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5],
  ...[1, 2.5, 5, 10, 30, 60],
]

/** Counts what clients ask and are answered; tells each time that Weir is `used`. */
export function httpMeter(registry: Registry, used: () => void): HttpMeter {
  const requests = counter(registry, {
    name: 'weir_http_requests_total',
    help: 'Requests by route and status',
    labels: ['route', 'status'],
  })
  const took = histogram(registry, {
    name: 'weir_http_request_seconds',
    help: 'Time until an answer was sent whole, or its client had gone, by route',
    labels: ['route'],
    bounds: answerBounds,
  })
  const sent = counter(registry, {
    name: 'weir_http_sent_bytes_total',
    help: 'Bytes sent to clients, headers included',
    labels: ['route'],
  })
  const answers = byObject(registry, 'answers_total', 'answers by result and upstream')
  const bodies = byObject(
    registry,
    'sent_bytes_total',
    'bytes sent, by result (hit: what no upstream had to send) and upstream',
  )
  const verdicts = counter(registry, {
    name: 'weir_verdicts_total',
    help: 'Narinfos answered, by rule, verdict (trusted, refused, would-refuse) and the reason of a refusal',
    labels: ['rule', 'verdict', 'reason'],
  })
  return {
    requested(route, status, sentBytes, seconds) {
      used()
      requests.add([route, String(status)])
      took.observe([route], seconds)
      sent.add([route], sentBytes)
    },
    answered(answered) {
      const { object, result, upstream, rule, reason } = answered
      answers[object].add([result, upstream])
      const verdict = verdictOf(answered)
      if (verdict !== null) verdicts.add([rule ?? '', verdict, reason ?? ''])
    },
    bodySent({ object, result, upstream }, bytes) {
      used()
      bodies[object].add([result, upstream], bytes)
    },
  }
}

/** A counter for narinfos and one for NARs. */
function byObject(registry: Registry, suffix: string, help: string) {
  const one = (object: string, name: string) =>
    counter(registry, {
      name: `weir_${object}_${suffix}`,
      help: `${name} ${help}`,
      labels: ['result', 'upstream'],
    })
  return { narinfo: one('narinfo', 'Narinfo'), nar: one('nar', 'NAR') }
}

/** What was decided about a narinfo; `null` where there was nothing to decide about. */
function verdictOf({ object, result, reason }: Answered): string | null {
  if (object !== 'narinfo') return null
  if (result === 'refused') return 'refused'
  if (result !== 'hit' && result !== 'miss') return null
  return reason === null ? 'trusted' : 'would-refuse'
}
