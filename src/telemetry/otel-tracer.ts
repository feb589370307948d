/** Traces by OpenTelemetry's own packages, sent over OTLP as JSON. Only where traces are configured is this file loaded. */
import {
  type Context,
  ROOT_CONTEXT,
  type Span as OtelSpan,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api'
import { setTimeout } from 'node:timers/promises'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace'
import type { SpanOptions, Tracer } from '../ports/tracer.ts'
import { parseTraceparent } from './traceparent.ts'

export type OtelTracerOptions = {
  /** The whole URL: `http://collector:4318/v1/traces`. What else the exporter knows comes from OTEL_EXPORTER_OTLP_… variables. */
  readonly endpoint: string
  /** How many in a hundred of the traces that begin here are kept; those that begin elsewhere are kept as their beginning says. */
  readonly sample: number
  readonly version: string
}

/** What is still to be sent is sent at its end. */
export type OtelTracer = Tracer & AsyncDisposable

const kinds = {
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  internal: SpanKind.INTERNAL,
} as const

/** So long what is still to be sent may take at the end. */
const mostAtEndMs = 2000

export function createOtelTracer({ endpoint, sample, version }: OtelTracerOptions): OtelTracer {
  const contexts = new AsyncLocalStorageContextManager().enable()
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ 'service.name': 'weir', 'service.version': version }),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(sample / 100) }),
    spanProcessors: [
      new BatchSpanProcessor({ exporter: new OTLPTraceExporter({ url: endpoint }) }),
    ],
  })
  const tracer = provider.getTracer('weir', version)
  return {
    async span({ name, kind, attributes = {}, traceparent }, task) {
      const around = parentOf(traceparent) ?? contexts.active()
      const span = tracer.startSpan(name, { kind: kinds[kind], attributes }, around)
      try {
        return await contexts.with(trace.setSpan(around, span), () =>
          task({
            set: (more) => {
              span.setAttributes(more)
            },
            failed: (why) => {
              fail(span, why)
            },
          }),
        )
      } catch (error) {
        fail(span, error instanceof Error ? error.message : String(error))
        throw error
      } finally {
        span.end()
      }
    },
    async [Symbol.asyncDispose]() {
      // A collector that is gone, or that hangs, must not hold up the end.
      const ended = provider.shutdown().catch(() => undefined)
      await Promise.race([ended, setTimeout(mostAtEndMs, undefined, { ref: false })])
      contexts.disable()
    },
  }
}

function fail(span: OtelSpan, why: string): void {
  span.setStatus({ code: SpanStatusCode.ERROR, message: why })
}

function parentOf(traceparent: SpanOptions['traceparent']): Context | null {
  const parent = traceparent === undefined ? null : parseTraceparent(traceparent)
  return parent === null ? null : trace.setSpanContext(ROOT_CONTEXT, { ...parent, isRemote: true })
}
