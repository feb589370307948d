import { type KeyPath } from './key-path.ts'

/** The part of JSON Schema that the schemas of the configuration make use of. */
export type JsonSchema = {
  readonly type?: string
  readonly description?: string
  readonly default?: unknown
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly items?: JsonSchema
}

/** The names that may stand in the table at a path: its own keys, in the order of the schema. */
export function tableKeys(schema: JsonSchema, path: KeyPath): readonly string[] {
  let table: JsonSchema | undefined = schema
  for (const part of path) {
    table = typeof part === 'number' ? table?.items : table?.properties?.[part]
  }
  return Object.keys(table?.properties ?? {})
}
