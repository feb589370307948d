import { isLoopbackHost } from './loopback.ts'
import type { ServerSettings } from './settings.ts'

/** Whether the API takes admin actions: by default only where Weir listens for its own machine alone. */
export function takesActions({
  listen,
  adminApi,
}: Pick<ServerSettings, 'listen' | 'adminApi'>): boolean {
  if (adminApi !== 'loopback') return adminApi === 'on'
  return listen.kind === 'unix' || isLoopbackHost(listen.host)
}
