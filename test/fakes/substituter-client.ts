/** What a client does with a substituter, and what a test looks at afterwards. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { NarFileKey } from '../../src/nix/nar-key.ts'
import type { NarBody } from '../../src/substituter/fetching/nar-body.ts'
import type { NarAnswer } from '../../src/substituter/substituter.ts'
import type { World } from './substituter-world.ts'
import type { TestClaim } from './test-claims.ts'

/** The address that asks where nothing else is said. */
export const testClient = '192.0.2.1'

/** A signal that is never aborted. */
export const never = new AbortController().signal

type Found = Extract<NarAnswer, { kind: 'found' }>

/** The answer to a whole GET of a NAR. */
export function getNar(
  { substituter }: Pick<World, 'substituter'>,
  key: NarFileKey,
  client = testClient,
): Promise<NarAnswer> {
  return substituter.nar(key, { isResume: false, client }, never)
}

/** The answer to a resume of a NAR. */
export function resumeNar(
  { substituter }: Pick<World, 'substituter'>,
  key: NarFileKey,
): Promise<NarAnswer> {
  return substituter.nar(key, { isResume: true, client: testClient }, never)
}

/** The answer to a whole GET of a NAR that is there; throws where it is not. */
export async function openNar(
  world: Pick<World, 'substituter'>,
  key: NarFileKey,
  client = testClient,
): Promise<Found> {
  const answer = await getNar(world, key, client)
  if (answer.kind !== 'found') throw new Error(`the NAR is ${answer.kind}`)
  return answer
}

/** Reads a body from a position to its end, in reads of a size. */
export async function readBody(body: NarBody, readBytes = 65_536, from = 0): Promise<Buffer> {
  const parts: Buffer[] = []
  for (let position = from; ;) {
    const buffer = Buffer.alloc(readBytes)
    const read = await body.read(buffer, position, never)
    if (read === 0) return Buffer.concat(parts)
    parts.push(buffer.subarray(0, read))
    position += read
  }
}

/** The file of a NAR as a client gets it; throws where there is none. */
export async function fetchNar(
  world: Pick<World, 'substituter'>,
  key: NarFileKey,
  client = testClient,
): Promise<Buffer> {
  const answer = await openNar(world, key, client)
  await using body = answer.body
  return await readBody(body)
}

/** Fetches a NAR, and waits until it is kept. */
export async function storeNar(world: World, key: NarFileKey): Promise<Buffer> {
  const bytes = await fetchNar(world, key)
  await world.transfers.idle()
  return bytes
}

/** The narinfo's text; throws where there is none. */
export async function fetchNarinfo(
  { substituter }: Pick<World, 'substituter'>,
  { key }: Pick<TestClaim, 'key'>,
): Promise<string> {
  const answer = await substituter.narinfo(key.storePathHash)
  if (answer.kind !== 'found') throw new Error(`the narinfo is ${answer.kind}`)
  return answer.body
}

/** The files in the cache folder, but for its description. */
export async function cacheFiles({ dir }: Pick<World, 'dir'>): Promise<readonly string[]> {
  const cache = join(dir, 'cache')
  const entries = await readdir(cache, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile() && entry.name !== 'nix-cache-info')
    .map(({ name }) => name)
    .sort()
}

/** A gate that a test opens. */
export const gate = (): PromiseWithResolvers<undefined> => Promise.withResolvers<undefined>()

/** Whether a promise has settled by the time that nothing is left to be done without something new. */
export async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false
  const note = (): void => {
    settled = true
  }
  promise.then(note, note)
  for (let turn = 0; turn < 10; turn += 1) await setImmediate()
  return settled
}
