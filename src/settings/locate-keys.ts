import { type KeyPath } from './key-path.ts'

/**
 * Finds the lines of a TOML document's keys, for error messages. The parser doesn't tell them.
 *
 * Works on documents that the parser has accepted, and reads only what it needs: headers, keys, the four kinds of strings, comments,
 * arrays and inline tables. Whatever surprises it makes it stop: a line is then unknown, never wrong.
 */
export function locateKeys(toml: string): (path: KeyPath) => number | null {
  const lines = new Map<string, number>()
  new Locator(toml, (path, line) => {
    const id = JSON.stringify(path)
    if (!lines.has(id)) lines.set(id, line)
  }).document()
  return (path) => lines.get(JSON.stringify(path)) ?? null
}

type Report = (path: KeyPath, line: number) => void

const STRING = /"""[^]*?(?<!\\)(?:\\\\)*"{3,5}|'''[^]*?'{3,5}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'/y
const BLANK_LINES = /(?:\s|#[^\n]*)*/y
const BARE = /[^\s=.,#[\]{}"']+/y

class Locator {
  readonly #toml: string
  readonly #report: Report
  /** How many tables each array of tables has so far. */
  readonly #counts = new Map<string, number>()
  #at = 0
  #line = 1

  constructor(toml: string, report: Report) {
    this.#toml = toml
    this.#report = report
  }

  document(): void {
    let table: KeyPath = []
    for (;;) {
      this.#skip(BLANK_LINES)
      if (this.#at >= this.#toml.length) return
      const header = this.#take(/\[\[?/y)
      if (header === null) {
        if (!this.#pair(table)) return
      } else {
        const names = this.#key()
        if (names === null) return
        table = this.#open(names, header)
        if (this.#take(header === '[[' ? /[ \t]*\]\]/y : /[ \t]*\]/y) === null) return
      }
    }
  }

  /** The path of a table from its header; the header's names go through the last tables of arrays. */
  #open(names: readonly string[], header: string): KeyPath {
    const path: (string | number)[] = []
    for (const [index, name] of names.entries()) {
      path.push(name)
      const id = JSON.stringify(path)
      const opens = header === '[[' && index === names.length - 1
      if (opens && !this.#counts.has(id)) this.#report([...path], this.#line)
      const count = (this.#counts.get(id) ?? 0) + (opens ? 1 : 0)
      if (count === 0) continue
      this.#counts.set(id, count)
      path.push(count - 1)
    }
    this.#report(path, this.#line)
    return path
  }

  /** KEY = VALUE; false where it is something else. */
  #pair(table: KeyPath): boolean {
    const line = this.#line
    const names = this.#key()
    if (names === null || this.#take(/[ \t]*=[ \t]*/y) === null) return false
    for (const index of names.keys()) this.#report([...table, ...names.slice(0, index + 1)], line)
    return this.#value([...table, ...names])
  }

  #value(path: KeyPath): boolean {
    if (this.#take(STRING) !== null) return true
    if (this.#take(/\[/y) !== null) return this.#items(']', (index) => this.#item([...path, index]))
    if (this.#take(/\{/y) !== null) return this.#items('}', () => this.#pair(path))
    return this.#take(/[^\s,#[\]{}"'=]+(?: \d[^\s,#[\]{}"'=]*)?/y) !== null
  }

  #item(path: KeyPath): boolean {
    this.#report(path, this.#line)
    return this.#value(path)
  }

  #items(end: string, item: (index: number) => boolean): boolean {
    for (let index = 0; ; index++) {
      this.#skip(BLANK_LINES)
      if (this.#toml[this.#at] === end) break
      if (!item(index)) return false
      this.#skip(BLANK_LINES)
      if (this.#take(/,/y) === null && this.#toml[this.#at] !== end) return false
    }
    this.#at++
    return true
  }

  /** A key, dotted or not, as its names. */
  #key(): readonly string[] | null {
    const names: string[] = []
    do {
      this.#skip(/[ \t]*/y)
      const quoted = this.#take(STRING)
      const name = quoted === null ? this.#take(BARE) : unquote(quoted)
      if (name === null) return null
      names.push(name)
    } while (this.#take(/[ \t]*\./y) !== null)
    return names
  }

  #skip(pattern: RegExp): void {
    this.#take(pattern)
  }

  #take(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at
    const text = pattern.exec(this.#toml)?.[0] ?? null
    if (text === null) return null
    this.#at += text.length
    this.#line += text.split('\n').length - 1
    return text
  }
}

/** The name in a quoted key; null where it has escapes, which aren't worth their code here. */
function unquote(text: string): string | null {
  return text.startsWith('"') && text.includes('\\') ? null : text.slice(1, -1)
}
