/**
 * Store paths.
 *
 *   store path = store directory "/" base name
 *   base name  = hash "-" name
 *   hash       = 32 nix32 characters (160 bits)
 *   name       = 1 – 211 of [0-9a-zA-Z+._?=-], but not ".", "..", ".-…" or "..-…"
 *
 * The store directory is an absolute, normalised path, usually `/nix/store`.
 */

declare const brand: unique symbol

/** An absolute, normalised directory without a trailing slash; only `parseStoreDir` makes one. */
export type StoreDir = string & { readonly [brand]: 'StoreDir' }

/** The 32 nix32 characters that identify a store path; only `parseStorePathHash` makes one. */
export type StorePathHash = string & { readonly [brand]: 'StorePathHash' }

/** A store path without its directory; `baseName` is `hash`, a hyphen and `name`. */
export type StorePath = {
  readonly hash: StorePathHash
  readonly name: string
  readonly baseName: string
}

const hashLength = 32
const maxStoreDirLength = 1024
const hashPattern = /^[0-9a-df-np-sv-z]{32}$/
const namePattern = /^(?!\.{1,2}(?:-|$))[0-9a-zA-Z+._?=-]{1,211}$/
// "," ";" and ":" separate the fields of fingerprints: a directory with one in it would make a signature ambiguous.
const storeDirPattern = /^(?:\/(?!\.{1,2}(?:\/|$))[^/\s\p{C},;:]+)+$/u

/** The store directory that a text names, or null where it is relative, not normalised or the root. */
export function parseStoreDir(text: string): StoreDir | null {
  return text.length <= maxStoreDirLength && storeDirPattern.test(text) ? (text as StoreDir) : null
}

/** The hash part of a store path, or null unless the text is 32 nix32 characters. */
export function parseStorePathHash(text: string): StorePathHash | null {
  return hashPattern.test(text) ? (text as StorePathHash) : null
}

/** The store path of a base name such as `<hash>-hello-2.12`, or null. */
export function parseBaseName(text: string): StorePath | null {
  const hash = parseStorePathHash(text.slice(0, hashLength))
  if (hash === null || text.charAt(hashLength) !== '-') return null
  const name = text.slice(hashLength + 1)
  return namePattern.test(name) ? { hash, name, baseName: text } : null
}

/** The store path of a full path directly below the store directory, or null. */
export function parseStorePath(text: string, storeDir: StoreDir): StorePath | null {
  return text.startsWith(`${storeDir}/`) ? parseBaseName(text.slice(storeDir.length + 1)) : null
}

/** The full path of a store path. */
export function formatStorePath(path: StorePath, storeDir: StoreDir): string {
  return `${storeDir}/${path.baseName}`
}
