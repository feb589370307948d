import { quoteName } from './describe-found.ts'
import { type KeyPath, valueAt } from './key-path.ts'

/** What was found, and in which rule by its name: rules are moved around, and their numbers say little. */
export function inRule(found: string, path: KeyPath, document: unknown): string {
  const [section, index, key] = path
  if (section !== 'rule' || index === undefined || key === 'name') return found
  const name = valueAt(document, [section, index, 'name'])
  return typeof name === 'string' && name !== ''
    ? `${found}, in the rule ${quoteName(name)}`
    : found
}
