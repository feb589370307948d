/** What the API answers to POST, as schemas. */
import { z } from 'zod'
import { type ActionName, givenFor } from '../../admin/actions.ts'
import { servedSchema } from './explanation-schema.ts'

const text = z.string()
const count = z.int().min(0)
const isNew = z.strictObject({ isNew: z.boolean().describe('False where it was so already.') })

const pinReport = z.strictObject({
  path: text,
  isNew: z.boolean(),
  paths: count,
  wanted: z.array(z.strictObject({ hash: text, path: text })),
  missing: z.array(z.strictObject({ path: text, why: text })),
})

const fetched = z.union([
  z.strictObject({
    path: text,
    kind: z.literal('stored'),
    bytes: count,
    upstream: text.nullable(),
  }),
  z.strictObject({ path: text, kind: z.literal('missing'), why: text }),
])

/** A line of the answer to `pin`: first the report, then each path that was fetched; without the end it is not whole. */
export const pinLineSchema = z.union([
  z.strictObject({ item: z.union([pinReport, fetched]) }),
  z.strictObject({ error: text }),
  z.strictObject({ end: z.literal(true) }),
])

/** The answers by the actions; that of `pin` is a line of several. */
export const actionAnswers: Readonly<Record<ActionName, z.ZodType>> = {
  recall: z.strictObject({
    isNew: z.boolean(),
    purgedNars: count,
    purgedBytes: count,
    served: servedSchema,
  }),
  lift: z.strictObject({ isLifted: z.boolean().describe('False where there was none.') }),
  pin: pinLineSchema,
  unpin: z.strictObject({ path: text.nullable().describe('`null` where it was not pinned.') }),
  forget: z.strictObject({
    absentAt: z.array(text),
    isRemembered: z.boolean(),
    isDistrusted: z.boolean(),
  }),
  reload: z.strictObject({
    epoch: text,
    isPolicyChanged: z.boolean(),
    needRestart: z.array(text),
    warnings: z.array(text),
  }),
  suspend: isNew,
  resume: isNew,
}

const block = z.strictObject({
  path: text.exactOptional(),
  hash: text.exactOptional(),
  package: text.exactOptional(),
  versions: z.array(text).exactOptional().describe('Of the package.'),
  key: text.exactOptional(),
  nar_hash: text.exactOptional(),
  reason: text,
})

/** The bodies by the actions, as they are documented; `src/admin/actions.ts` reads them. */
export const actionBodies: Readonly<Record<ActionName, z.ZodType>> = {
  recall: block.describe('The fields of a `[[block]]`: one of path, hash, package, key, nar_hash.'),
  lift: block.partial({ reason: true }).describe('The same fields; no reason is needed.'),
  ...givenFor,
}
