import type { Log } from '../ports/log.ts'
import { type Upstream, type UpstreamBody, UpstreamError } from '../ports/upstream.ts'

export type BuildLogAnswer =
  | { readonly kind: 'found'; readonly body: UpstreamBody }
  | { readonly kind: 'absent' }
  | { readonly kind: 'unknown'; readonly why: string }

/** Build logs, passed on from the first upstream that has one. They are unsigned: text for people, nothing more. */
export type BuildLogs = {
  find(derivation: string, signal: AbortSignal): Promise<BuildLogAnswer>
}

const maxLogBytes = 64 * 1024 * 1024

/** Asks the upstreams one after the other, in order of preference. */
export function createBuildLogs(deps: {
  readonly upstreams: readonly Upstream[]
  readonly log: Log
}): BuildLogs {
  return {
    async find(derivation, signal) {
      const failures: string[] = []
      for (const upstream of deps.upstreams) {
        try {
          const body = await upstream.buildLog(derivation, signal)
          if (body !== null) return { kind: 'found', body: bounded(body) }
        } catch (error) {
          if (!(error instanceof UpstreamError)) throw error
          const { code, message } = error
          deps.log.warn({
            event: 'upstream.failed',
            upstream: upstream.name,
            object: 'log',
            code,
            reason: message,
          })
          failures.push(`${upstream.name}: ${message}`)
        }
      }
      return failures.length === 0
        ? { kind: 'absent' }
        : { kind: 'unknown', why: failures.join('; ') }
    },
  }
}

async function* bounded(body: UpstreamBody): AsyncGenerator<Uint8Array> {
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.length
    if (bytes > maxLogBytes) throw new UpstreamError('too-large', 'the build log is too long')
    yield chunk
  }
}
