import type { Tracer } from '../ports/tracer.ts'
import { noTracer } from '../ports/tracer.ts'
import type { Settings } from '../settings/settings.ts'

/** The tracer that is configured; without an endpoint none, and nothing is loaded for it. What must be closed goes to `resources`. */
export async function openTracer(
  { endpoint, sample }: Settings['traces'],
  version: string,
  resources: AsyncDisposableStack,
): Promise<Tracer> {
  if (endpoint === null) return noTracer
  const { createOtelTracer } = await import('./otel-tracer.ts')
  return resources.use(createOtelTracer({ endpoint, sample, version }))
}
