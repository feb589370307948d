/**
 * The upper layer of a NAR: which string may follow which (`nar-rules.ts`), limits, and the order of names. `nar.ts`
 * specifies the format.
 */
import { Buffer } from 'node:buffer'
import { NarError, type NarErrorCode } from './nar-error.ts'
import type { StringSink } from './nar-framing.ts'
import type { NarHandler } from './nar-handler.ts'
import { type NarState, longestNarWord, narRules } from './nar-rules.ts'

/** The depth that no node may reach; the root has depth 0. */
export const maxNarDepth = 64

/** The longest entry name, in bytes. */
export const maxNarNameLength = 255

/** The longest symlink target, in bytes. */
export const maxNarTargetLength = 4095

/** The states that take free text, and its limits in bytes. */
const freeTexts: Readonly<Partial<Record<NarState, { longest: number; code: NarErrorCode }>>> = {
  name: { longest: maxNarNameLength, code: 'bad-name' },
  target: { longest: maxNarTargetLength, code: 'bad-target' },
}

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })

/** Follows the grammar of a NAR from string to string and calls the handler. */
export class NarGrammar implements StringSink {
  readonly #handler: NarHandler
  #state: NarState = 'magic'
  #executable = false
  #offset = 0
  /** For each open directory the raw name of its last entry, empty before the first. */
  readonly #lastNames: Uint8Array[] = []

  constructor(handler: NarHandler) {
    this.#handler = handler
  }

  get done(): boolean {
    return this.#state === 'done'
  }

  begin(length: number, offset: number): 'whole' | 'stream' {
    this.#offset = offset
    if (this.#state === 'contents') {
      if (length > Number.MAX_SAFE_INTEGER) throw this.#error('too-large')
      this.#handler.file?.({ executable: this.#executable, size: length, offset })
      return 'stream'
    }
    const text = freeTexts[this.#state]
    if (text === undefined) {
      if (length > longestNarWord) throw this.#wordError()
    } else if (length === 0 || length > text.longest) {
      throw this.#error(text.code)
    }
    return 'whole'
  }

  part(chunk: Uint8Array): void {
    this.#handler.contents?.(chunk)
  }

  endStream(): void {
    this.#handler.endFile?.()
    this.#state = 'leaf-end'
  }

  whole(source: Uint8Array, start: number, end: number): void {
    if (this.#state === 'name') this.#name(source.subarray(start, end))
    else if (this.#state === 'target') this.#target(source.subarray(start, end))
    else this.#word(source, start, end)
  }

  #word(source: Uint8Array, start: number, end: number): void {
    const from = this.#state
    const match = narRules[from]?.find(({ word }) => bytesEqual(word, source, start, end))
    if (match === undefined) throw this.#wordError()
    this.#state = match.next
    if (from === 'node') this.#enterNode()
    else if (from === 'file-key') this.#executable = match.next === 'executable-value'
    else if (from === 'type' && match.next === 'directory') this.#enterDirectory()
    else if (from === 'directory' && match.next === 'entry-end') this.#leaveDirectory()
    if (match.next === 'entry-end' && this.#lastNames.length === 0) this.#state = 'done'
  }

  #enterNode(): void {
    if (this.#lastNames.length >= maxNarDepth) throw this.#error('too-deep')
  }

  #enterDirectory(): void {
    this.#lastNames.push(new Uint8Array(0))
    this.#handler.directory?.()
  }

  #leaveDirectory(): void {
    this.#lastNames.pop()
    this.#handler.leaveDirectory?.()
  }

  #name(raw: Uint8Array): void {
    const name = utf8.decode(raw)
    if (name === '.' || name === '..' || raw.includes(0x2f) || raw.includes(0)) {
      throw this.#error('bad-name')
    }
    const last = this.#lastNames.pop()
    // Raw bytes: the order of UTF-16 code units is another one.
    if (last !== undefined && Buffer.compare(last, raw) >= 0) {
      throw this.#error('names-out-of-order')
    }
    this.#lastNames.push(raw.slice())
    this.#state = 'node-key'
    this.#handler.entry?.(name, raw)
  }

  #target(raw: Uint8Array): void {
    if (raw.includes(0)) throw this.#error('bad-target')
    this.#state = 'leaf-end'
    this.#handler.symlink?.(utf8.decode(raw), raw)
  }

  #wordError(): NarError {
    return this.#error(this.#state === 'magic' ? 'not-a-nar' : 'unexpected-token')
  }

  #error(code: NarErrorCode): NarError {
    return new NarError(code, this.#offset)
  }
}

function bytesEqual(word: Uint8Array, source: Uint8Array, start: number, end: number): boolean {
  if (word.length !== end - start) return false
  for (let i = 0; i < word.length; i++) {
    if (word[i] !== source[start + i]) return false
  }
  return true
}
