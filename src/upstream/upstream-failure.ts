import { UpstreamError, type UpstreamErrorCode } from '../ports/upstream.ts'

const codes: Readonly<Record<string, UpstreamErrorCode>> = {
  UND_ERR_CONNECT_TIMEOUT: 'timeout',
  UND_ERR_HEADERS_TIMEOUT: 'timeout',
  UND_ERR_BODY_TIMEOUT: 'timeout',
  ETIMEDOUT: 'timeout',
  ECONNREFUSED: 'connect',
  ENOTFOUND: 'connect',
  EAI_AGAIN: 'connect',
  EHOSTUNREACH: 'connect',
  ENETUNREACH: 'connect',
  ENETDOWN: 'connect',
  UND_ERR_HEADERS_OVERFLOW: 'too-large',
}

/**
 * Whatever undici, TLS or the system threw, as an `UpstreamError`. An abort by the given signal's owner keeps its own
 * reason; the deadline of `AbortSignal.timeout` is a `timeout`.
 */
export function asUpstreamError(error: unknown, signal?: AbortSignal): unknown {
  if (signal?.aborted === true) {
    const reason: unknown = signal.reason
    return isTimeout(reason)
      ? new UpstreamError('timeout', 'no answer in time', { cause: reason })
      : reason
  }
  for (const cause of causes(error)) {
    if (cause instanceof UpstreamError) return cause
    if (isTimeout(cause)) return new UpstreamError('timeout', 'no answer in time', { cause: error })
    const code = codes[codeOf(cause)]
    if (code === undefined) continue
    const isRefusal = codeOf(cause) === 'ECONNREFUSED'
    return new UpstreamError(code, messageOf(cause), { cause: error, isRefusal })
  }
  return new UpstreamError('reset', messageOf(error), { cause: error })
}

/** A host's refusal, told as that of one of several that were asked: it is no word on the upstream as a whole. */
export function elsewhere(error: unknown): unknown {
  if (!(error instanceof UpstreamError) || !error.isRefusal) return error
  return new UpstreamError(error.code, error.message, { cause: error })
}

function isTimeout(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'TimeoutError'
}

/** The error, its causes, and the members of an AggregateError (all addresses of a name were tried). */
export function* causes(error: unknown, depth = 0): Generator {
  if (depth > 8 || !(error instanceof Error)) return
  yield error
  yield* causes(error.cause, depth + 1)
  if (error instanceof AggregateError) {
    for (const member of error.errors) yield* causes(member, depth + 1)
  }
}

/** The `code` of an error; empty where it has none. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : ''
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.message === '' ? codeOf(error) || error.name : error.message
}
