import { z } from 'zod'
import { type JsonSchema, tableKeys } from './json-schema.ts'
import { type KeyPath } from './key-path.ts'
import { documentSchema } from './schema.ts'

/** A key of the configuration that an environment variable can replace. */
export type KnownKey = {
  /** As in `['server', 'listen']`; `['upstream']` is the whole list. */
  readonly path: readonly string[]
  /** As in `WEIR_SERVER__LISTEN`. */
  readonly variable: string
  /** How the variable's text is read. */
  readonly syntax: 'text' | 'number' | 'boolean' | 'json'
  readonly description: string
  /** As it would be written; undefined where it depends on the machine. */
  readonly defaultValue: unknown
}

/** How a variable is read, by its key's type; texts otherwise. */
const SYNTAX: ReadonlyMap<string, KnownKey['syntax']> = new Map([
  ['array', 'json'],
  ['integer', 'number'],
  ['boolean', 'boolean'],
])

/** The JSON schema of a configuration file. */
export function configurationJsonSchema(): JsonSchema {
  return z.toJSONSchema(documentSchema, { io: 'input' }) as JsonSchema
}

/** Every key that an environment variable can replace, in the order of the schema. */
export function listKnownKeys(): readonly KnownKey[] {
  return properties(configurationJsonSchema()).flatMap(([section, schema]) =>
    schema.properties === undefined
      ? [knownKey([section], schema)]
      : properties(schema).map(([key, leaf]) => knownKey([section, key], leaf)),
  )
}

/** The names that may stand in the table at a path: its own keys, in the order of the schema. */
export function keysOfTable(path: KeyPath): readonly string[] {
  return tableKeys(configurationJsonSchema(), path)
}

function knownKey(path: readonly string[], schema: JsonSchema): KnownKey {
  return {
    path,
    variable: `WEIR_${path.join('__').toUpperCase()}`,
    syntax: SYNTAX.get(schema.type ?? '') ?? 'text',
    description: schema.description ?? '',
    defaultValue: schema.default,
  }
}

function properties(schema: JsonSchema): [string, JsonSchema][] {
  return Object.entries(schema.properties ?? {})
}
