import { type Backoff, fullJitterMs } from '../../policy/full-jitter.ts'
import { isTransientStatus } from '../../policy/retry.ts'
import { UpstreamError } from '../../ports/upstream.ts'
import { giveUp, type Response } from './http-client.ts'
import { bodyOf } from './response-body.ts'
import { type FileIdentity, identityOf, isRest, restHeaders } from './resume-rules.ts'
import type { Timing } from '../timing.ts'

/** So often in a row a rest is asked for that brings nothing. */
const maxFruitless = 3
const backoff: Backoff = { baseMs: 100, capMs: 1000 }

export type ResumeDeps = {
  /** Asks for the same file again, with these headers besides. */
  readonly ask: (headers: Readonly<Record<string, string>>) => Promise<Response>
  readonly timing: Timing
}

/**
 * The body of a file that `first`, a 200, begins: where it breaks off, its rest is asked for. What no rest can be had of throws what it
 * broke off with.
 */
export async function* resumedBody(
  first: Response,
  deps: ResumeDeps,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let file = identityOf(first)
  let part = first
  let at = 0
  let fruitless = 0
  for (;;) {
    const from = at
    let cut: unknown
    try {
      for await (const chunk of bodyOf(part, signal)) {
        at += chunk.length
        yield chunk
      }
      if (file.length === null || at >= file.length) return
      cut = new UpstreamError('reset', 'the body is shorter than its Content-Length')
    } catch (error) {
      cut = error
    }
    if (signal.aborted || !isBreak(cut)) throw cut
    if (at > from) fruitless = 0
    const rest = await askRest(deps, { file, at, fruitless }, signal)
    if (rest === null) throw cut
    fruitless = rest.fruitless
    part = rest.response
    if (at === 0) file = identityOf(part)
  }
}

type Rest = { readonly response: Response; readonly fruitless: number }
type BrokenFile = {
  readonly file: FileIdentity
  readonly at: number
  readonly fruitless: number
}

/** The rest of a file; `null` where it cannot be had. */
async function askRest(
  { ask, timing }: ResumeDeps,
  { file, at, fruitless }: BrokenFile,
  signal: AbortSignal,
): Promise<Rest | null> {
  const headers = restHeaders(file, at)
  if (headers === null) return null
  for (let failures = fruitless + 1; failures <= maxFruitless; failures += 1) {
    await timing.pause(fullJitterMs(failures, backoff, timing.random), signal)
    try {
      const response = await ask(headers)
      if (isRest(file, at, response)) return { response, fruitless: failures }
      await giveUp(response)
      if (!isTransientStatus(response.statusCode)) return null
    } catch (error) {
      if (signal.aborted) throw error
      if (!isBreak(error) && !isConnect(error)) return null
    }
  }
  return null
}

function isBreak(error: unknown): boolean {
  return error instanceof UpstreamError && (error.code === 'reset' || error.code === 'timeout')
}

function isConnect(error: unknown): boolean {
  return error instanceof UpstreamError && error.code === 'connect'
}
