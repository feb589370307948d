/**
 * netrc, as curl and with it Nix read it: words, separated by white space.
 *
 *   machine HOST [login NAME] [password SECRET] [account TEXT]
 *   default      [login NAME] [password SECRET] [account TEXT]
 *   macdef NAME  …up to the next empty line, skipped
 *   # a comment, up to the line's end
 *
 * Words may be in double quotes, with \" \\ \n \r \t in them. The first entry that fits a host counts; what comes after
 * `default` never does.
 */

/** What to say to a host. Without a login the user is empty, as `cachix` writes it. */
export type NetrcEntry = {
  /** In lower case; null for any host. */
  readonly machine: string | null
  readonly login: string
  readonly password: string
}

/** The entries in their order, or the line of what is none, without any of its words. */
export type NetrcReading =
  | { readonly kind: 'entries'; readonly entries: readonly NetrcEntry[] }
  | { readonly kind: 'mistake'; readonly line: number; readonly what: string }

type Word = { readonly text: string; readonly isQuoted: boolean; readonly line: number }

/** Reads a netrc. */
export function parseNetrc(text: string): NetrcReading {
  const words = splitWords(text)
  if (!Array.isArray(words)) return words
  const entries: { machine: string | null; login: string; password: string }[] = []
  for (let at = 0; at < words.length; at++) {
    const word = words[at]
    if (word === undefined) break
    const keyword = word.isQuoted ? '' : word.text.toLowerCase()
    if (keyword === 'default') {
      entries.push({ machine: null, login: '', password: '' })
      continue
    }
    if (!['machine', 'login', 'password', 'account'].includes(keyword)) {
      return mistake(
        word.line,
        'a word that is none of machine, default, login, password, account, macdef',
      )
    }
    at += 1
    const value = words[at]
    if (value === undefined) {
      return mistake(word.line, `${keyword} without its value; one that begins with # needs quotes`)
    }
    const entry = entries.at(-1)
    if (keyword === 'machine') {
      entries.push({ machine: value.text.toLowerCase(), login: '', password: '' })
    } else if (entry === undefined) {
      return mistake(word.line, `${keyword} before any machine`)
    } else if (keyword === 'login' || keyword === 'password') {
      entry[keyword] = value.text
    }
  }
  return { kind: 'entries', entries }
}

/** The entry for a host, as `URL.hostname` has it; null where there is none. */
export function findInNetrc(entries: readonly NetrcEntry[], hostname: string): NetrcEntry | null {
  const host = hostname.replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '')
  return entries.find(({ machine }) => machine === null || machine === host) ?? null
}

function splitWords(text: string): Word[] | Extract<NetrcReading, { kind: 'mistake' }> {
  const words: Word[] = []
  let isMacro = false
  for (const [index, content] of text.split(/\r?\n/).entries()) {
    const line = index + 1
    if (isMacro) {
      isMacro = content.trim() !== ''
      continue
    }
    const pattern = /\s+|#.*|"((?:[^"\\]|\\.)*)"(?=\s|$)|[^\s"#][^\s]*/y
    while (pattern.lastIndex < content.length) {
      const at = pattern.lastIndex
      const [piece, quoted] = pattern.exec(content) ?? []
      if (piece === undefined)
        return mistake(line, `a quote that does not end, at column ${at + 1}`)
      if (/^(?:\s|#)/.test(piece)) continue
      if (piece.toLowerCase() === 'macdef') {
        isMacro = true
        break
      }
      const isQuoted = quoted !== undefined
      words.push({ text: isQuoted ? unquote(quoted) : piece, isQuoted, line })
    }
  }
  return words
}

const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' }

function unquote(text: string): string {
  return text.replaceAll(/\\(.)/g, (_, character: string) => escapes[character] ?? character)
}

function mistake(line: number, what: string): Extract<NetrcReading, { kind: 'mistake' }> {
  return { kind: 'mistake', line, what }
}
