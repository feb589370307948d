import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { parse, TomlError } from 'smol-toml'
import { type KeyPath } from './key-path.ts'
import { locateKeys } from './locate-keys.ts'
import { SettingsError, type SettingsErrorCode } from './settings-error.ts'

/** A configuration file as written: nothing in it has been checked yet. */
export type ConfigFile = {
  /** Absolute, where it is a file. */
  readonly path: string
  readonly document: unknown
  /** The line of a key, from 1; null where it is not known. */
  readonly lineOf: (path: KeyPath) => number | null
}

/** Who named the file: `--config` or `WEIR_CONFIG`. */
export type ConfigFileName = { readonly path: string; readonly namedBy: string }

/** Reads a TOML file, or a JSON one where its name says so; throws SettingsError. */
export async function readConfigFile({ path, namedBy }: ConfigFileName): Promise<ConfigFile> {
  const absolute = resolve(path)
  const source = `${absolute} (named by ${namedBy})`
  const text = decode(await readBytes(absolute, source), absolute)
  return absolute.endsWith('.json') ? parseJson(text, absolute) : parseToml(text, absolute)
}

async function readBytes(path: string, source: string): Promise<Uint8Array> {
  try {
    return await readFile(path)
  } catch (cause) {
    const errno = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error'
    const [code, found] = describeFailure(errno)
    throw failure(
      code,
      { source, found, allowed: 'the path of a TOML or JSON file that Weir may read' },
      cause,
    )
  }
}

function describeFailure(errno: string): [SettingsErrorCode, string] {
  switch (errno) {
    case 'ENOENT':
    case 'ENOTDIR':
      return ['not-found', 'no such file']
    case 'EISDIR':
      return ['unreadable', 'a folder']
    case 'EACCES':
    case 'EPERM':
      return ['unreadable', "a file that Weir's user may not read"]
    default:
      return ['unreadable', `a file that can't be read (${errno})`]
  }
}

function decode(bytes: Uint8Array, source: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw failure(
      'syntax',
      { source, found: 'bytes that are not UTF-8', allowed: 'UTF-8 text' },
      cause,
    )
  }
}

/** Reads TOML from the file at `path`, or from elsewhere by that name; throws SettingsError. */
export function parseToml(text: string, path: string): ConfigFile {
  try {
    return { path, document: parse(text), lineOf: locateKeys(text) }
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause
    const { line, column, message } = cause
    // Only the first line: those after it repeat the file, which may hold a secret.
    const reason = message.split('\n')[0]?.replace('Invalid TOML document: ', '') ?? ''
    const found = `something that is not TOML at column ${column} (${reason})`
    throw failure('syntax', {
      source: path,
      line,
      found,
      allowed: 'TOML, as described at https://toml.io',
    })
  }
}

function parseJson(text: string, path: string): ConfigFile {
  try {
    return { path, document: JSON.parse(text) as unknown, lineOf: () => null }
  } catch {
    // No cause: the parser's words repeat the file, which may hold a secret.
    const allowed = 'one JSON object, as its name ends in .json'
    throw failure('syntax', { source: path, found: 'something that is not JSON', allowed })
  }
}

type Failure = { source: string; line?: number; found: string; allowed: string }

function failure(code: SettingsErrorCode, what: Failure, cause?: unknown): SettingsError {
  const { source, line = null, found, allowed } = what
  const problem = { source, key: null, line, found, allowed, nearest: null }
  return new SettingsError(code, [problem], { cause })
}
