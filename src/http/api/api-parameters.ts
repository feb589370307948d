import { z } from 'zod'
import { BadRequestError } from '../../admin/bad-request-error.ts'
import { isPlace } from '../../activity/search-stored.ts'

const maxText = 300

/** The parameters of `decisions`. */
export const decisionsParameters = z.strictObject({
  after: wholeNumber(0, Number.MAX_SAFE_INTEGER).default(0),
  limit: wholeNumber(1, 500).default(100),
})

/** The parameters of `paths`; `after` is the `next` of an answer. */
export const pathsParameters = z.strictObject({
  q: z
    .string()
    .max(maxText, { error: `at most ${maxText} characters` })
    .default(''),
  after: z.string().refine(isPlace, { error: 'the `next` of an answer' }).nullable().default(null),
  limit: wholeNumber(1, 1000).default(100),
})

export const noParameters = z.strictObject({})

/** Reads a query; one that is not known, given twice or out of range is a `BadRequestError`. */
export function readParameters<T>(schema: z.ZodType<T>, query: string): T {
  const given = [...new URLSearchParams(query)]
  const names = given.map(([name]) => name)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) throw new BadRequestError(`${quoted(twice)}: given twice`)
  const result = schema.safeParse(Object.fromEntries(given))
  if (result.success) return result.data
  const [issue] = result.error.issues
  if (issue?.code === 'unrecognized_keys') {
    throw new BadRequestError(`${issue.keys.map(quoted).join(', ')}: not a parameter of this`)
  }
  throw new BadRequestError(`${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'wrong'}`)
}

function wholeNumber(min: number, max: number) {
  const error = `a whole number from ${min} to ${max}`
  return z
    .string()
    .regex(/^\d{1,16}$/, { error })
    .transform(Number)
    .refine((value) => value >= min && value <= max, { error })
}

function quoted(name: string): string {
  return JSON.stringify(name.slice(0, 40))
}
