/** Sources of the ingestion, and what comes of them. */
import { createZstdDecompress } from 'node:zlib'
import { BadNarError } from '../../src/ingest/bad-nar-error.ts'
import { decodeNar } from '../../src/ingest/decode-nar.ts'
import type { IngestDeps } from '../../src/ingest/ingestion.ts'
import { noPatience } from '../../src/ingest/outages.ts'
import { createRetryBudget } from '../../src/ingest/retry-budget.ts'
import type { Compression } from '../../src/nix/compression.ts'
import { parseHash } from '../../src/nix/hash.ts'
import type { PromisedNar } from '../../src/ports/nar-reader.ts'
import { UpstreamError, type UpstreamBody } from '../../src/ports/upstream.ts'
import { bodyOf, encodings, type Encoding, mixedNar, random } from './encode-nar.ts'
import { type Give, sha256, type TestSource } from './ingest-run.ts'
import { must, path as storePathNamed } from '../nix/fixtures.ts'

export const seed = 20260730
export const bigNar = mixedNar(3_000_000, seed)

/** Piece sizes that look random. */
export function randomSizes(max: number, from = seed): readonly number[] {
  const next = random(from)
  return Array.from({ length: 200 }, () => 1 + (next() % max))
}

export const chunkings = {
  'single bytes': [1],
  'random pieces': randomSizes(5000),
  'pieces of 64 KiB': [65_536],
  'one piece': [Infinity],
} as const

export async function collect(body: UpstreamBody): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of body) pieces.push(Uint8Array.from(piece))
  return Buffer.concat(pieces)
}

export function decode(compression: Compression, bytes: Uint8Array, sizes?: readonly number[]) {
  return collect(decodeNar(compression, bodyOf(bytes, sizes), 2 ** 30))
}

export function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0
}

/** What the beginning of a zstd file decodes to: whatever comes before it ends or breaks. */
export async function decodePrefix(prefix: Uint8Array): Promise<Buffer> {
  const decoder = createZstdDecompress()
  const pieces: Buffer[] = []
  decoder.on('data', (piece: Buffer) => pieces.push(piece))
  await new Promise<void>((resolve) => {
    decoder.on('error', () => {
      resolve()
    })
    decoder.on('end', resolve)
    decoder.end(prefix)
  })
  return Buffer.concat(pieces)
}

/** A source that gives these bytes. */
export function gives(
  compression: Compression,
  bytes: Uint8Array,
  sizes?: readonly number[],
): TestSource {
  return { compression, give: () => bodyOf(bytes, sizes) }
}

/** Sources are asked again, without waiting. */
export function again(): Omit<IngestDeps, 'open'> & { readonly pauses: readonly number[] } {
  const pauses: number[] = []
  const pause = async (ms: number): Promise<void> => {
    pauses.push(ms)
    await Promise.resolve()
  }
  return {
    timing: { pause, random: () => 0.5 },
    budget: createRetryBudget(),
    outages: noPatience,
    pauses,
  }
}

/** What a source gives at its first opening, its second, and so on; the last one ever after. */
export function inTurn(...gives: readonly Give[]): Give {
  let opened = 0
  return (signal) => gives[Math.min(gives.length - 1, opened++)]?.(signal) ?? null
}

/** A source that answers with an error. */
export function fails(...error: ConstructorParameters<typeof UpstreamError>): Give {
  return () => {
    throw new UpstreamError(...error)
  }
}

/** A body that breaks off after some bytes. */
export async function* brokenOff(bytes: Uint8Array, after: number): AsyncGenerator<Uint8Array> {
  yield* bodyOf(bytes.subarray(0, after), [10_000])
  throw new UpstreamError('reset', 'the connection was cut')
}

export const codeOf = (error: unknown): string =>
  error instanceof BadNarError ? error.code : `no BadNarError: ${String(error)}`

/** The code with which decoding fails; null where it does not. */
export async function decodingFault(compression: Compression, bytes: Uint8Array, sizes?: number[]) {
  return decode(compression, bytes, sizes).then(() => null, codeOf)
}

/** How far this process's memory ever went up while something ran, in MiB. */
export async function peakGrowth(act: () => Promise<void>): Promise<number> {
  const before = process.resourceUsage().maxRSS
  await act()
  return (process.resourceUsage().maxRSS - before) / 1024
}

/** Sources that claim nothing of their file, and for zstd one that does: it is kept as it comes. */
export const variants: readonly (readonly [Encoding, boolean])[] = [
  ...encodings.map((encoding) => [encoding, false] as const),
  ['zstd', true],
]

/** What a trusted claim promises of a NAR. */
export function promiseOf(nar: Uint8Array, changes: Partial<PromisedNar> = {}): PromisedNar {
  return {
    storePath: storePathNamed('00000000000000000000000000000000-x'),
    narHash: must(parseHash(sha256(nar))),
    narSize: BigInt(nar.length),
    ca: null,
    ...changes,
  }
}

/** A stored file in memory. */
export const inMemory = (bytes: Uint8Array) => ({
  read: async (buffer: Uint8Array, position: number) => {
    const part = bytes.subarray(position, position + buffer.length)
    buffer.set(part)
    return part.length
  },
})
