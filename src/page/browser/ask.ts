import type { Decision, Overview, RunningNar, Traffic } from '../../activity/activity.ts'
import { heldToken } from './token.ts'

/** An answer that is none: `refused` where the admin token is wrong. */
export class AskError extends Error {
  override readonly name = 'AskError'
  readonly code: 'refused' | 'failed'

  constructor(code: AskError['code'], address: string, status: number) {
    super(`${address}: ${status}`)
    this.code = code
  }
}

const timeoutMs = 10_000

/** Asks the Weir that the page came from, with the admin token where this tab has one. Throws an `AskError`, or what `fetch` throws. */
export async function ask(address: string, signal: AbortSignal): Promise<Response> {
  const token = heldToken()
  const response = await fetch(address, {
    mode: 'same-origin',
    redirect: 'error',
    cache: 'no-store',
    headers: token === null ? {} : { authorization: `Bearer ${token}` },
    signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
  })
  if (response.ok) return response
  throw new AskError(response.status === 401 ? 'refused' : 'failed', address, response.status)
}

// The page and what it asks are of one version: what comes has the shapes of activity.ts.

export async function askOverview(signal: AbortSignal): Promise<Overview> {
  return (await (await ask('/api/v1/overview', signal)).json()) as Overview
}

export async function askTraffic(signal: AbortSignal): Promise<Traffic> {
  return (await (await ask('/api/v1/traffic', signal)).json()) as Traffic
}

export async function askTransfers(signal: AbortSignal): Promise<readonly RunningNar[]> {
  const answer = (await (await ask('/api/v1/transfers', signal)).json()) as {
    readonly transfers: readonly RunningNar[]
  }
  return answer.transfers
}

/** Those after `after`, the latest first. */
export async function askDecisions(
  { after, limit }: { readonly after: number; readonly limit: number },
  signal: AbortSignal,
): Promise<readonly Decision[]> {
  const address = `/api/v1/decisions?after=${after}&limit=${limit}`
  const answer = (await (await ask(address, signal)).json()) as {
    readonly decisions: readonly Decision[]
  }
  return answer.decisions
}
