import { createHash } from 'node:crypto'
import { formatHash } from '../../src/nix/hash.ts'
import { type Offer, narSha256Of } from '../lab/forged-offer.ts'
import { rawGet, type RawGetOptions, type RawResponse } from '../lab/raw-client.ts'
import { decodeFile } from './made-cache.ts'

/** What a client got of a path: only `right` is its NAR, whole. */
export type Fetched =
  | { readonly kind: 'right'; readonly fileBytes: number; readonly resumes: number }
  /** A body that came to its end and is not the NAR: what must never be. */
  | { readonly kind: 'wrong'; readonly why: string }
  /** A body that broke off, or no answer at all. */
  | { readonly kind: 'cut' }
  | {
      readonly kind: 'refused'
      readonly what: 'narinfo' | 'nar' | 'resume'
      readonly status: number
      readonly text: string
    }

export type FetchOptions = Pick<RawGetOptions, 'agent' | 'signal' | 'pace'> & {
  /** Hangs up once after at least so many bytes, and resumes. */
  readonly hangUpAfterBytes?: number
  /** Called between hanging up and resuming. */
  readonly pause?: () => Promise<void>
}

const keepBytes = 1 << 30

/** Gets a path as Nix does, its narinfo first, and holds it against what was offered. */
export async function fetchPath(
  weirUrl: string,
  offer: Offer,
  options: FetchOptions = {},
): Promise<Fetched> {
  const { hash } = offer.narinfo.storePath
  const asked = await answered(`${weirUrl}/${hash}.narinfo`, options)
  if (asked?.complete !== true) return { kind: 'cut' }
  if (asked.status !== 200) return refusal('narinfo', asked)
  const url = narUrlIn(asked.body.toString(), offer)
  if (url === null) return { kind: 'wrong', why: `narinfo of another NAR: ${hash}` }
  return fetchNar(`${weirUrl}/${url}`, offer, options)
}

/** Gets a NAR by its URL, and holds it against what was offered. */
export async function fetchNar(
  url: string,
  offer: Offer,
  { hangUpAfterBytes, pause, ...options }: FetchOptions = {},
): Promise<Fetched> {
  const hangUp = hangUpAfterBytes === undefined ? {} : { hangUpAfterBytes }
  const first = await answered(url, { ...options, ...hangUp })
  if (first === null) return { kind: 'cut' }
  if (first.status !== 200) return refusal('nar', first)
  if (first.complete) return held(url, offer, first.body, 0)
  if (hangUpAfterBytes === undefined || first.length < hangUpAfterBytes) return { kind: 'cut' }
  await pause?.()
  const range = `bytes=${first.length}-`
  const rest = await answered(url, { ...options, headers: { range } })
  if (rest === null) return { kind: 'cut' }
  if (rest.status === 416 && rest.headers['content-range'] === `bytes */${first.length}`) {
    // All of it had come before the client hung up.
    return held(url, offer, first.body, 1)
  }
  if (rest.status !== 206) return refusal('resume', rest)
  if (!rest.complete) return { kind: 'cut' }
  const from = `bytes ${first.length}-`
  if (rest.headers['content-range']?.startsWith(from) !== true) {
    return { kind: 'wrong', why: `${url}: ${String(rest.headers['content-range'])} for ${range}` }
  }
  return held(url, offer, Buffer.concat([first.body, rest.body]), 1)
}

/** The whole URL of a path's NAR, as its narinfo has it now; throws where there is none. */
export async function narUrlOf(weirUrl: string, offer: Offer): Promise<string> {
  const { body } = await rawGet(`${weirUrl}/${offer.narinfo.storePath.hash}.narinfo`)
  const url = narUrlIn(body.toString(), offer)
  if (url === null) throw new Error(`no narinfo: ${body.toString()}`)
  return `${weirUrl}/${url}`
}

/** The URL that a narinfo names; `null` where it is not of the offered NAR. */
export function narUrlIn(narinfo: string, offer: Offer): string | null {
  if (!narinfo.includes(`\nNarHash: ${formatHash(offer.narinfo.narHash)}\n`)) return null
  return /^URL: (.*)$/m.exec(narinfo)?.[1] ?? null
}

/** An answer as far as it came; `null` where none came, for Weir is gone or the signal fired. */
async function answered(url: string, options: RawGetOptions): Promise<RawResponse | null> {
  try {
    return await rawGet(url, { keepBytes, ...options })
  } catch (error) {
    if (error instanceof Error && 'code' in error) return null
    throw error
  }
}

function refusal(what: 'narinfo' | 'nar' | 'resume', { status, body }: RawResponse): Fetched {
  return { kind: 'refused', what, status, text: body.toString('utf8', 0, 300).trim() }
}

async function held(url: string, offer: Offer, file: Buffer, resumes: number): Promise<Fetched> {
  const wrong = (why: string): Fetched => ({ kind: 'wrong', why: `${url}: ${why}` })
  try {
    const nar = await decodeFile(url, file)
    const got = createHash('sha256').update(nar).digest('hex')
    if (got !== narSha256Of(offer)) return wrong(`NAR ${got} of ${nar.length} bytes`)
    return { kind: 'right', fileBytes: file.length, resumes }
  } catch (error) {
    return wrong(`does not decode: ${String(error)}`)
  }
}
