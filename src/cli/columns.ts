/** A table in plain text. */
export type Table = {
  readonly head: readonly string[]
  readonly rows: readonly (readonly string[])[]
  /** The most characters that a column may have, by its number; longer cells are wrapped between words. */
  readonly widths?: readonly (number | null)[]
}

const gap = '  '

/** Cells below each other; every line ends with a newline and has no blanks at its end. */
export function formatTable({ head, rows, widths = [] }: Table): string {
  const cells = [head, ...rows].map((row) =>
    row.map((cell, column) => wrap(cell, widths[column] ?? Infinity)),
  )
  const columns = head.map((_, column) =>
    Math.max(...cells.flatMap((row) => (row[column] ?? []).map((line) => line.length))),
  )
  return cells
    .flatMap((row) => {
      const height = Math.max(...row.map((cell) => cell.length))
      return Array.from({ length: height }, (_, line) =>
        columns.map((width, column) => (row[column]?.[line] ?? '').padEnd(width)).join(gap),
      )
    })
    .map((line) => `${line.trimEnd()}\n`)
    .join('')
}

/** A text in lines of at most so many characters, broken between words; longer words stay whole. */
export function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else {
      line = line === '' ? word : `${line} ${word}`
    }
  }
  return [...lines, line]
}

/** Every line of a text behind so many blanks. */
export function indent(text: string, blanks: number): string {
  return text.replaceAll(/^(?=.)/gm, ' '.repeat(blanks))
}
