import { createCipheriv } from 'node:crypto'
import { writeFile } from 'node:fs/promises'

/** Writes the same noise every time: a key stream, which no compressor shortens. */
export async function writeIncompressible(file: string, bytes: number): Promise<void> {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, 1), Buffer.alloc(16))
  await writeFile(file, cipher.update(Buffer.alloc(bytes)))
}

/** Writes the same text every time: lines of words in random order, which compress to about a quarter. */
export async function writeCompressible(file: string, bytes: number): Promise<void> {
  let state = 1
  const random = () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0)
  const words = Array.from({ length: 512 }, () => random().toString(36))
  const text = Buffer.alloc(bytes)
  let length = 0
  while (length < bytes) {
    const line = Array.from({ length: 64 }, () => words[random() >>> 23] ?? '').join(' ') + '\n'
    length += text.write(line, length, 'latin1')
  }
  await writeFile(file, text)
}
