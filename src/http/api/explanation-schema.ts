import { z } from 'zod'

const text = z.string()
const count = z.int().min(0)

const served = z.strictObject({
  hash: text,
  path: text,
  narHash: text,
  client: text,
  upstream: text,
  keys: z.array(text),
  rule: text.nullable(),
  epoch: text,
  firstMs: z.number(),
  lastMs: z.number(),
  count,
})

const claim = z.strictObject({
  path: text,
  narHash: text,
  narSize: text.describe('Decimal: it may be larger than a number holds.'),
  references: count,
  ca: text.nullable(),
  rule: text.nullable(),
  voucher: z
    .union([
      z.strictObject({ kind: z.literal('signature'), keyName: text }),
      z.strictObject({ kind: z.enum(['content-address', 'insecure']) }),
    ])
    .nullable(),
  signatures: z.array(
    z.strictObject({
      keyName: text,
      result: z.enum(['vouches', 'valid', 'bad-signature', 'unknown-key', 'blocked-key']),
    }),
  ),
})

/** What was handed out, to whom, and who answered for it. */
export const servedSchema = z.array(served)

/** The answer of `explain/<hash>`. */
export const explanationSchema = z.strictObject({
  hash: text,
  path: text.nullable(),
  policy: z.strictObject({ epoch: text, enforce: z.boolean() }),
  verdict: z.enum(['trusted', 'refused', 'absent', 'unknown']),
  reason: text.describe('In a sentence.'),
  upstream: text.nullable(),
  rule: z
    .strictObject({
      name: text,
      from: z.array(text).nullable(),
      signedBy: z.array(text).nullable(),
      agree: count,
      onDivergence: z.enum(['serve', 'refuse']),
    })
    .nullable(),
  wouldRefuse: text.nullable(),
  source: z.enum(['live', 'remembered', 'stored', 'nothing']),
  upstreams: z.array(
    z.strictObject({
      upstream: text,
      answer: z.enum(['trusted', 'refused', 'absent', 'unknown', 'not-asked', 'awaited']),
      reason: text.nullable(),
      claim: claim.nullable(),
    }),
  ),
  stored: z.array(
    z.strictObject({
      narHash: text,
      upstream: text,
      witnesses: z.array(text),
      fileBytes: count,
      storedAtMs: z.number(),
      isTrusted: z.boolean(),
    }),
  ),
  refusedReferences: z.array(z.strictObject({ path: text, reason: text })),
  served: servedSchema.describe('To the client that asks; with the admin token to everybody.'),
  events: z
    .array(
      z.strictObject({
        kind: text,
        hash: text.nullable(),
        upstream: text.nullable(),
        detail: text,
        firstMs: z.number(),
        lastMs: z.number(),
        count,
      }),
    )
    .describe('Only with the admin token.'),
})
