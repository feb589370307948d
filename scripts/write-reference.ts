/** Writes config/weir.schema.json and the table in docs/configuration.md anew, from the schema. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { formatJsonSchema, updateReference } from '../src/settings/reference.ts'

const root = join(import.meta.dirname, '..')
const documentation = join(root, 'docs/configuration.md')

await writeFile(join(root, 'config/weir.schema.json'), formatJsonSchema())
await writeFile(documentation, updateReference(await readFile(documentation, 'utf8')))
