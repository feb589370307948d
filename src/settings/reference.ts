import { configurationJsonSchema, type KnownKey, listKnownKeys } from './known-keys.ts'

/** How the files made from this module are brought up to date. */
export const REGENERATE_COMMAND = 'node scripts/write-reference.ts'

const BEGIN = `<!-- Generated: ${REGENERATE_COMMAND} -->`
const END = '<!-- End of what is generated -->'
const MAX_COLUMNS = 100

/** The text of config/weir.schema.json, as Prettier would leave it. */
export function formatJsonSchema(): string {
  const { $schema, ...rest } = { $schema: '', ...configurationJsonSchema() }
  const schema = { $schema, title: 'Configuration of Weir', ...rest }
  const text = JSON.stringify(schema, null, 2)
  return `${text.replaceAll(/^( *)(.*)\[\n([^[\]{}]+)\n +\](,?)$/gm, joinShortList)}\n`
}

/** A Markdown document with its generated part, the table of keys and variables, brought up to date. */
export function updateReference(markdown: string): string {
  const begin = markdown.indexOf(BEGIN)
  const end = markdown.indexOf(END)
  if (begin === -1 || end < begin) throw new RangeError(`no ${BEGIN} … ${END} in the document`)
  const before = markdown.slice(0, begin + BEGIN.length)
  return `${before}\n\n${formatKeyTable(listKnownKeys())}\n\n${markdown.slice(end)}`
}

function formatKeyTable(keys: readonly KnownKey[]): string {
  const rows = keys.map(({ path, variable, defaultValue, description }) => [
    `\`${path.join('.')}\``,
    `\`${variable}\``,
    defaultValue === undefined ? 'see there' : describeDefault(path, defaultValue),
    description.replaceAll('|', String.raw`\|`),
  ])
  const table = [['Key', 'Variable', 'Default', 'What it says'], ...rows]
  const widths = [0, 1, 2, 3].map((column) =>
    Math.max(...table.map((row) => row[column]?.length ?? 0)),
  )
  const [head = '', ...body] = table.map(
    (row) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`,
  )
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`
  return [head, rule, ...body].join('\n')
}

function describeDefault(path: readonly string[], value: unknown): string {
  return path[0] === 'upstream' ? 'cache.nixos.org' : `\`${JSON.stringify(value)}\``
}

/** A list of plain values goes on one line where it fits. */
function joinShortList(whole: string, indent: string, head: string, items: string, comma: string) {
  const line = `${indent}${head}[${items.trim().replaceAll(/,\n +/g, ', ')}]${comma}`
  return line.length <= MAX_COLUMNS ? line : whole
}
