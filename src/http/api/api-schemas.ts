/** What the API answers to GET, as schemas: its documentation is made of them, and a test holds real answers against them. */
import { z } from 'zod'
import type {
  Decision,
  Overview,
  RunningNar,
  StoredPaths,
  Traffic,
} from '../../activity/activity.ts'

const text = z.string()
const count = z.int().min(0)
const ms = z.number().describe('Milliseconds since 1970.')
const takesMs = z.number().min(0).nullable()
const hash = text.describe('32 characters of a store path.')
const path = text.describe("The store path's base name, `<hash>-<name>`.")
const result = z.enum(['hit', 'miss', 'refused', 'absent', 'error'])
const client = text.describe('An address; only with the admin token.')

const answers = z.strictObject({
  hit: count,
  miss: count,
  refused: count,
  absent: count,
  error: count,
})

const upstream = z.strictObject({
  name: text,
  url: text.describe('Without credentials and query; of a folder only that it is one.'),
  circuit: z
    .enum(['closed', 'open', 'probing'])
    .describe('`closed`: it is asked. `open`: it is not. `probing`: it is, once it answers.'),
  suspended: text.nullable().describe('Why it is suspended.'),
  requests: count,
  errors: count.describe('How often it could not tell.'),
  fetchedBytes: count,
  medianMs: takesMs.describe('Of its last 100 answers.'),
  p95Ms: takesMs,
})

const overview = z.strictObject({
  version: text,
  nowMs: ms,
  startedMs: ms,
  publicKey: text,
  clientLines: z.array(text).describe("For a client's nix.conf."),
  network: z.enum(['online', 'offline', 'all-down']),
  policy: z.strictObject({ epoch: text, enforce: z.boolean(), rules: count, blocks: count }),
  cache: z.strictObject({
    nars: count,
    bytes: count,
    limitBytes: count,
    pinnedBytes: count,
    freeBytes: count.nullable(),
    isStoring: z.boolean(),
  }),
  upstreams: z.array(upstream).describe('In the order of the configuration.'),
  totals: z.strictObject({
    narinfos: answers,
    nars: answers,
    sentBytes: count,
    fetchedBytes: count,
  }),
})

const rates = z.array(z.number().min(0))
const durations = z.array(takesMs)

const traffic = z.strictObject({
  stepMs: count,
  timesMs: z.array(ms).describe('The end of each step. All lists are equally long.'),
  narinfosPerSecond: rates,
  narsPerSecond: rates,
  sentBytesPerSecond: rates,
  fetchedBytesPerSecond: rates,
  narHitRatio: z.array(z.number().min(0).max(1).nullable()),
  narinfoMedianMs: durations,
  narinfoP95Ms: durations,
})

const transfer = z.strictObject({
  path,
  hash,
  upstream: text,
  startedMs: ms,
  fetchedBytes: count,
  expectedBytes: count.nullable(),
  bytesPerSecond: z.number().min(0).describe('Over the last seconds.'),
  readers: count.describe('How many clients read along or wait.'),
  clients: z.array(client).exactOptional(),
})

const decision = z.strictObject({
  id: count.describe('Counts up by one: `after` takes it.'),
  atMs: ms,
  object: z.enum(['narinfo', 'nar']),
  result,
  hash,
  path: path.nullable(),
  upstream: text.nullable(),
  rule: text.nullable(),
  reason: text.nullable().describe('Why it was refused, or would be.'),
  client: client.exactOptional(),
})

const paths = z.strictObject({
  paths: z.array(
    z.strictObject({
      hash,
      path,
      package: text,
      diskBytes: count,
      narSize: count,
      compression: text,
      storedAtMs: ms,
      usedAtMs: ms,
      upstreams: z.array(text),
    }),
  ),
  next: text.nullable().describe('What `after` takes for the next page.'),
})

const policy = z.strictObject({
  epoch: text,
  enforce: z.boolean(),
  unmatched: z.enum(['allow', 'deny']),
  rules: z.array(
    z.strictObject({
      number: count,
      name: text,
      packages: z.array(text),
      paths: z.array(text),
      from: z.array(text).nullable(),
      signed_by: z.array(text).nullable(),
      agree: count,
      on_divergence: z.enum(['serve', 'refuse']),
    }),
  ),
  upstreams: z.array(
    z.strictObject({
      name: text,
      tier: count,
      private: z.boolean(),
      optional: z.boolean(),
      insecure_unsigned: z.boolean(),
      suspended: z.boolean(),
      keys: z.array(text),
    }),
  ),
  blocks: z.array(z.strictObject({ blocked: text, reason: text, by: text })),
  suspended: z.array(text),
  sets: z.record(text, z.array(text)),
})

/** The answers by their names in the documentation. */
export const readingSchemas = {
  Overview: overview satisfies z.ZodType<Overview>,
  Traffic: traffic satisfies z.ZodType<Traffic>,
  Transfers: z.strictObject({ transfers: z.array(transfer satisfies z.ZodType<RunningNar>) }),
  Decisions: z.strictObject({ decisions: z.array(decision satisfies z.ZodType<Decision>) }),
  Paths: paths satisfies z.ZodType<StoredPaths>,
  Policy: policy,
} as const
