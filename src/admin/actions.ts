import { z } from 'zod'
import { parseStorePathHash, type StoreDir } from '../nix/store-path.ts'
import { readBlock } from '../settings/block-schema.ts'
import type { Admin, ReloadReport } from './admin.ts'
import { BadRequestError } from './bad-request-error.ts'
import type { ForgetReport } from './forget.ts'
import type { PinReport, Pinning } from './pins.ts'
import type { RecallReport } from './recall.ts'

/** What an operator changes in a running Weir, each from an object of texts; a `BadRequestError`, or the mistake's own error, where it is wrong. */
export type Actions = {
  /** From the fields of a `[[block]]`. */
  recall(given: unknown): Promise<RecallReport>
  /** The same; a reason is not needed. */
  lift(given: unknown): Promise<{ readonly isLifted: boolean }>
  /** From `{ hash }`; what is to be fetched is not fetched yet. */
  pin(given: unknown): Promise<PinReport>
  unpin(given: unknown): Promise<{ readonly path: string | null }>
  forget(given: unknown): Promise<ForgetReport>
  /** From nothing. */
  reload(given: unknown): Promise<ReloadReport>
  /** From `{ upstream, why }`. */
  suspend(given: unknown): Promise<{ readonly isNew: boolean }>
  resume(given: unknown): Promise<{ readonly isNew: boolean }>
}

export type ActionName = keyof Actions

export type ActionDeps = {
  readonly admin: Admin
  readonly pinning: Pinning
  readonly storeDir: StoreDir
}

const maxNameLength = 200
const maxWhyLength = 1000

const hashText = z
  .string({ error: hashWords() })
  .length(32, { error: hashWords() })
  .transform((text, context) => {
    const hash = parseStorePathHash(text)
    if (hash !== null) return hash
    context.addIssue({ code: 'custom', message: hashWords() })
    return z.NEVER
  })
const name = text('the name of an upstream', maxNameLength)
const ofPath = z.strictObject({ hash: hashText })
const ofNothing = z.strictObject({})
const suspension = z.strictObject({ upstream: name, why: text('a reason', maxWhyLength) })
const resumption = z.strictObject({ upstream: name })

/** What is given for each action but those about a `[[block]]`. */
export const givenFor = {
  ...{ pin: ofPath, unpin: ofPath, forget: ofPath },
  ...{ reload: ofNothing, suspend: suspension, resume: resumption },
} as const

/** The one way of both the control socket and the API to change something. */
export function createActions({ admin, pinning, storeDir }: ActionDeps): Actions {
  const block = (given: unknown) => readBlock(given, 'the recall', storeDir)
  return {
    recall: async (given) => admin.recall(block(given)),
    // What is lifted needs no reason.
    lift: async (given) => ({ isLifted: await admin.lift(block(withReason(given))) }),
    pin: async (given) => pinning.pin(read(ofPath, given).hash),
    unpin: async (given) => ({ path: await pinning.unpin(read(ofPath, given).hash) }),
    forget: async (given) => Promise.resolve(admin.forget(read(ofPath, given).hash)),
    async reload(given) {
      read(ofNothing, given)
      return admin.reload()
    },
    async suspend(given) {
      const { upstream, why } = read(suspension, given)
      return { isNew: await admin.suspend(upstream, why) }
    },
    resume: async (given) => ({
      isNew: await admin.resume(read(resumption, given).upstream),
    }),
  }
}

function withReason(given: unknown): unknown {
  return typeof given === 'object' ? { reason: 'lifted', ...given } : given
}

function read<T>(schema: z.ZodType<T>, given: unknown): T {
  const result = schema.safeParse(given)
  if (result.success) return result.data
  const [issue] = result.error.issues
  if (issue?.code === 'unrecognized_keys') {
    throw new BadRequestError(`${issue.keys.join(', ')}: not known here`)
  }
  const key = issue?.path.join('.') ?? ''
  throw new BadRequestError(`${key === '' ? 'the request' : key}: ${issue?.message ?? 'wrong'}`)
}

function text(allowed: string, maxLength: number) {
  const error = `${allowed}, at most ${maxLength} characters`
  return z.string({ error }).min(1, { error }).max(maxLength, { error })
}

function hashWords(): string {
  return '32 characters of a store path'
}
