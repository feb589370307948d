import { join } from 'node:path'
import { Client } from 'undici'
import type { Status } from './control-server.ts'
import type { AnswerLine } from '../http/routes/send-lines.ts'

/** The control socket's path in a state folder. */
export function controlSocket(stateDir: string): string {
  return join(stateDir, 'control.sock')
}

/** What a running Weir would not do; the message is for people. */
export class ControlError extends Error {
  override readonly name = 'ControlError'
}

export type ControlRequest = {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  readonly body?: string
}

/**
 * Asks the Weir that runs on a state folder; `null` where none does, `ControlError` where it refuses. The answer has the type that the
 * control server gives: both are of one version.
 */
export async function askControl<Answer>(
  stateDir: string,
  { method, path, query = {}, body }: ControlRequest,
): Promise<Answer | null> {
  const client = new Client('http://weir', {
    socketPath: controlSocket(stateDir),
    // Questions to slow upstreams, and recalls in large stores, take their time.
    headersTimeout: 10 * 60_000,
  })
  try {
    const answer = await client.request({ method, path, query, body: body ?? null })
    const value = await answer.body.json()
    if (answer.statusCode !== 200) {
      throw new ControlError((value as { readonly error: string }).error)
    }
    return value as Answer
  } catch (error) {
    if (isNobodyThere(error)) return null
    throw error
  } finally {
    await client.close()
  }
}

/** What the Weir that runs on a state folder says of itself; `null` where none runs. */
export function askStatus(stateDir: string): Promise<Status | null> {
  return askControl<Status>(stateDir, { method: 'GET', path: '/status' })
}

/**
 * Asks for an answer that comes item by item; `ControlError` where the Weir that runs refuses, or breaks off. Who stops reading, or
 * aborts, stops what is done there.
 */
export async function* streamControl<Item>(
  stateDir: string,
  { method, path, body }: ControlRequest,
  signal: AbortSignal,
): AsyncGenerator<Item> {
  const client = new Client('http://weir', {
    socketPath: controlSocket(stateDir),
    // A NAR of many gigabytes says nothing for minutes.
    ...{ headersTimeout: 0, bodyTimeout: 0 },
  })
  try {
    const answer = await client.request({ method, path, body: body ?? null, signal })
    // Who stops reading has heard enough: that it is cut off then is no error.
    answer.body.on('error', () => undefined)
    if (answer.statusCode !== 200) {
      throw new ControlError(((await answer.body.json()) as { readonly error: string }).error)
    }
    let isWhole = false
    for await (const line of linesOf(answer.body)) {
      const said = JSON.parse(line) as AnswerLine
      if ('error' in said) throw new ControlError(said.error)
      if ('end' in said) isWhole = true
      else yield said.item as Item
    }
    if (!isWhole) throw new ControlError('the running Weir ended before it was done')
  } finally {
    await client.destroy()
  }
}

async function* linesOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of body) {
    const lines = `${rest}${decoder.decode(chunk, { stream: true })}`.split('\n')
    rest = lines.pop() ?? ''
    yield* lines
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
