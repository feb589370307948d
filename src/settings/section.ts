import { z } from 'zod'

/** A table of the configuration, which need not be written. */
export function section<Shape extends z.ZodRawShape>(
  name: string,
  description: string,
  shape: Shape,
) {
  const table = z.strictObject(shape, { error: `a table, [${name}]` })
  return table.prefault({} as z.input<typeof table>).describe(description)
}
