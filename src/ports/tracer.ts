/** What is known of a span, under OpenTelemetry's names or as `weir.…`. */
export type SpanAttributes = Readonly<Record<string, string | number | boolean>>

/** A piece of work that is being timed. */
export type Span = {
  set(attributes: SpanAttributes): void
  /** It did not do what it was for, `why` in words; an error that it throws says so by itself. */
  failed(why: string): void
}

export type SpanOptions = {
  /** Of a finite set. */
  readonly name: string
  /** Whether it answers somebody, asks somebody, or does neither. */
  readonly kind: 'server' | 'client' | 'internal'
  readonly attributes?: SpanAttributes
  /** The trace that the asker says it belongs to, as a `traceparent` header (W3C Trace Context). */
  readonly traceparent?: string | undefined
}

/** Follows requests through Weir: spans that begin while another runs are parts of it. */
export type Tracer = {
  /** Runs a task in a span, which ends with it. */
  span<Result>(options: SpanOptions, task: (span: Span) => Promise<Result>): Promise<Result>
}

const noSpan: Span = { set: () => undefined, failed: () => undefined }

/** Follows nothing. */
export const noTracer: Tracer = { span: (_options, task) => task(noSpan) }
