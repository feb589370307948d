import { quote } from './describe-found.ts'
import { type KnownKey } from './known-keys.ts'
import { nearestName } from './nearest-name.ts'
import { type SettingsProblem } from './settings-error.ts'

/** The variables of a process; those that are empty count as not set. */
export type Environment = Readonly<Record<string, string | undefined>>

/** A value from the environment, to stand where a file or a default would. */
export type Override = { readonly key: KnownKey; readonly value: unknown }

const CONFIG_VARIABLE = 'WEIR_CONFIG'

/** What a list looks like as JSON, by its section; elsewhere it is one of host names. */
const EXAMPLES: ReadonlyMap<string, string> = new Map([
  ['upstream', '[{"name": "nixos", "url": "https://cache.nixos.org", "keys": ["NAME:BASE64"]}]'],
  ['rule', '[{"name": "the root of trust", "packages": ["@critical"], "from": ["nixos"]}]'],
  ['block', '[{"package": "xz", "versions": ["5.6.0"], "reason": "CVE-2024-3094"}]'],
  ['import', '["NAME:BASE64"]'],
])

/** The values of all WEIR_… variables, and what is wrong with those that are unknown or not JSON; values are checked later. */
export function readEnvironment(env: Environment, keys: readonly KnownKey[]) {
  const overrides: Override[] = []
  const problems: SettingsProblem[] = []
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith('WEIR_') || name === CONFIG_VARIABLE || text === undefined) continue
    const key = keys.find(({ variable }) => variable === name)
    if (key === undefined) {
      problems.push(unknownVariable(name, keys))
    } else if (text !== '') {
      const value = readValue(text, key)
      if (value === undefined) problems.push(notJson(key))
      else overrides.push({ key, value })
    }
  }
  return { overrides, problems }
}

function readValue(text: string, { syntax }: KnownKey): unknown {
  switch (syntax) {
    case 'text':
      return text
    case 'number':
      return /^-?\d{1,15}$/.test(text) ? Number(text) : text
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : text
    case 'json':
      return parseJson(text)
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    // The parser's words would repeat the text, which may hold a secret.
    return undefined
  }
}

function notJson({ variable, path }: KnownKey): SettingsProblem {
  return {
    source: variable,
    key: null,
    line: null,
    found: 'a text that is not JSON',
    allowed: `a JSON array such as ${EXAMPLES.get(path[0] ?? '') ?? '["weir.example.org"]'}`,
    nearest: null,
  }
}

function unknownVariable(name: string, keys: readonly KnownKey[]): SettingsProblem {
  const names = [CONFIG_VARIABLE, ...keys.map(({ variable }) => variable)]
  return {
    source: /^\w{1,80}$/.test(name) ? name : quote(name),
    key: null,
    line: null,
    found: 'an environment variable that Weir does not know',
    allowed:
      'WEIR_CONFIG, or WEIR_SECTION__KEY for a key of the configuration, as in WEIR_SERVER__LISTEN',
    nearest: nearestName(name, names),
  }
}
