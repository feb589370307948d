import { createHash, createCipheriv } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { zstdCompressSync } from 'node:zlib'
import type { Hash } from '../../src/nix/hash.ts'
import { mustRun } from '../../test/lab/run-command.ts'
import { narStrings } from '../../test/nix/tree.ts'

/** What a NAR's one file holds: nothing but zeros, or what no compressor shortens. */
export type Content = 'zeros' | 'noise'
export type MadeCompression = 'none' | 'xz' | 'zstd'

/** A NAR that is sent without being held: a head, then the same block again and again, then a tail. */
export type MadeNar = {
  readonly head: Uint8Array
  readonly block: Uint8Array
  readonly blocks: number
  readonly tail: Uint8Array
}

/** Far apart enough that neither zstd nor xz see that a block is the last one again. */
const blockBytes = 25_000_000

/** A NAR of a folder with one file of about `bytes`; NARs with different file names have different hashes. */
export function madeNar(content: Content, bytes: number, fileName: string): MadeNar {
  const blocks = Math.max(1, Math.round(bytes / blockBytes))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(blocks * blockBytes))
  const opened = ['nix-archive-1', '(', 'type', 'directory', 'entry', '(', 'name', fileName]
  const strings = narStrings(...opened, 'node', '(', 'type', 'regular', 'contents')
  return {
    head: Buffer.concat([strings, length]),
    ...{ block: blockOf(content), blocks },
    tail: narStrings(')', ')', ')'),
  }
}

/** The bytes that are sent, in order. */
export function* piecesOf(nar: MadeNar): Generator<Uint8Array> {
  yield nar.head
  for (let index = 0; index < nar.blocks; index++) yield nar.block
  yield nar.tail
}

export function sizeOf(nar: MadeNar): number {
  return nar.head.length + nar.block.length * nar.blocks + nar.tail.length
}

export function hashOf(nar: MadeNar): Hash {
  const hash = createHash('sha256')
  for (const piece of piecesOf(nar)) hash.update(piece)
  return { algorithm: 'sha256', bytes: hash.digest() }
}

/** The same NAR compressed, each piece by itself: frames of zstd or streams of xz one after the other are a file of them. */
export async function compressed(nar: MadeNar, compression: MadeCompression): Promise<MadeNar> {
  const [head, block, tail] = await Promise.all([
    compress(nar.head, compression),
    compress(nar.block, compression),
    compress(nar.tail, compression),
  ])
  return { head, block, tail, blocks: nar.blocks }
}

async function compress(bytes: Uint8Array, compression: MadeCompression): Promise<Uint8Array> {
  switch (compression) {
    case 'none':
      return bytes
    case 'zstd':
      return zstdCompressSync(bytes)
    case 'xz':
      return compressXz(bytes)
  }
}

async function compressXz(bytes: Uint8Array): Promise<Uint8Array> {
  const dir = await mkdtemp(join(tmpdir(), 'weir-bench-xz-'))
  try {
    const file = join(dir, 'piece')
    await writeFile(file, bytes)
    await mustRun('xz', ['-0', '--threads=1', file])
    return await readFile(`${file}.xz`)
  } finally {
    await rm(dir, { recursive: true })
  }
}

function blockOf(content: Content): Buffer {
  const zeros = Buffer.alloc(blockBytes)
  if (content === 'zeros') return zeros
  return createCipheriv('aes-128-ctr', Buffer.alloc(16, 1), Buffer.alloc(16)).update(zeros)
}
