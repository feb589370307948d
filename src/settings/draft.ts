import { type ConfigFile } from './read-config-file.ts'
import { formatKeyPath, type KeyPath, valueAt } from './key-path.ts'
import { type Override } from './read-environment.ts'
import { type SettingsProblem } from './settings-error.ts'

/** The configuration put together from the file and the environment, and where each of its values came from. */
export type Draft = {
  /** Still as written; the schema's defaults are not in it. */
  readonly document: unknown
  /** The variable, file and line to blame for a value. */
  readonly placeOf: (path: KeyPath) => Place
  /** Whether the value was written somewhere, rather than being a default. */
  readonly has: (path: KeyPath) => boolean
  /** The configuration file, where it gave the value. */
  readonly fileOf: (path: KeyPath) => string | null
}

/** Where a value was written. */
export type Place = Pick<SettingsProblem, 'source' | 'key' | 'line'>

/** What `source` says of a value that nobody wrote. */
export const BUILT_IN_DEFAULTS = 'built-in defaults'

/** Lays the environment over the file. */
export function composeDraft(file: ConfigFile | null, overrides: readonly Override[]): Draft {
  const document = overrides.reduce<unknown>(applyOverride, file?.document ?? {})
  const variableOf = (path: KeyPath) =>
    overrides.find(({ key }) => key.path.every((name, index) => name === path[index]))?.key.variable
  const fileOf = (path: KeyPath) =>
    file !== null && variableOf(path) === undefined && valueAt(document, path) !== undefined
      ? file.path
      : null
  return {
    document,
    fileOf,
    has: (path) => valueAt(document, path) !== undefined,
    placeOf: (path) => {
      const key = path.length === 0 ? null : formatKeyPath(path)
      const variable = variableOf(path)
      if (variable !== undefined) return { source: variable, key, line: null }
      if (file === null) return { source: BUILT_IN_DEFAULTS, key, line: null }
      // A key that is missing is to blame on its table.
      const written = fileOf(path) === null ? path.slice(0, -1) : path
      const blamed = path.length === 0 || fileOf(written) !== null
      return blamed
        ? { source: file.path, key, line: file.lineOf(written) }
        : { source: BUILT_IN_DEFAULTS, key, line: null }
    },
  }
}

function applyOverride(document: unknown, { key, value }: Override): unknown {
  // What is no table stays as it is: the schema will say so.
  if (!isTable(document)) return document
  const [section = '', name] = key.path
  if (name === undefined) return { ...document, [section]: value }
  const table = document[section] ?? {}
  return isTable(table) ? { ...document, [section]: { ...table, [name]: value } } : document
}

function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
