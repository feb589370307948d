import { join } from 'node:path'
import { Client } from 'undici'
import type { Status } from './control-server.ts'

/** The control socket's path in a state folder. */
export function controlSocket(stateDir: string): string {
  return join(stateDir, 'control.sock')
}

/** Asks the Weir that runs on a state folder; `null` where none does. */
export async function askStatus(stateDir: string): Promise<Status | null> {
  const client = new Client('http://weir', { socketPath: controlSocket(stateDir) })
  try {
    const { body } = await client.request({ method: 'GET', path: '/status' })
    return (await body.json()) as Status
  } catch (error) {
    if (isNobodyThere(error)) return null
    throw error
  } finally {
    await client.close()
  }
}

function isNobodyThere(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    // EINVAL: the path is longer than a socket's may be, so that nobody listens there.
    ['ENOENT', 'ECONNREFUSED', 'EINVAL'].includes(String(error.code))
  )
}
