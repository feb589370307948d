import { AsyncLocalStorage } from 'node:async_hooks'
import type { RequestScope } from '../ports/request-scope.ts'

/** The scope, and which request it is that code runs for; `null` where it is none. */
export type KnownRequestScope = RequestScope & { readonly current: () => string | null }

/** Follows requests through everything that is awaited or begun for them. */
export function createRequestScope(): KnownRequestScope {
  const running = new AsyncLocalStorage<string>()
  return {
    run: (requestId, task) => running.run(requestId, task),
    current: () => running.getStore() ?? null,
  }
}
