import { describeFound } from './describe-found.ts'

/** Where a value is in the configuration: `['upstream', 1, 'keys', 0]`. */
export type KeyPath = readonly (string | number)[]

/** The path as people write it, `upstream[1].keys[0]`; odd and overlong names are quoted and shortened. */
export function formatKeyPath(path: KeyPath): string {
  return path
    .map((part, index) => {
      if (typeof part === 'number') return `[${part}]`
      const name = /^[\w$-]{1,60}$/.test(part) ? part : describeFound(part)
      return index === 0 ? name : `.${name}`
    })
    .join('')
}

/** The value at a path of a parsed document, or undefined where there is none. */
export function valueAt(document: unknown, path: KeyPath): unknown {
  let value = document
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined
    value = (value as Record<string | number, unknown>)[part]
  }
  return value
}
