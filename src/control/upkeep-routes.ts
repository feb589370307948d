import { z } from 'zod'
import type { Upkeep } from '../upkeep/upkeep.ts'
import { BadRequestError } from '../admin/bad-request-error.ts'
import { Lines, type ReceivedRequest } from './control-request.ts'

const bytes = z.int().min(0).nullable()
const selection = z.array(z.string()).max(10_000)
const verifyRequest = z.strictObject({ selection, bytesPerSecond: z.int().min(1).nullable() })
const gcRequest = z.strictObject({ downToBytes: bytes })
const statsRequest = z.strictObject({ top: z.int().min(0) })
const listRequest = z.strictObject({ selection })

/** What is asked of the store and its catalog; `undefined` where a request is of something else. */
export function answerUpkeep(upkeep: Upkeep, { route, text, signal }: ReceivedRequest): unknown {
  switch (route) {
    case 'POST /verify':
      return new Lines(upkeep.verify(read(verifyRequest, text), signal))
    case 'POST /rebuild':
      return new Lines(upkeep.rebuild(signal))
    case 'POST /gc':
      return upkeep.gc(read(gcRequest, text).downToBytes)
    case 'POST /stats':
      return upkeep.stats(read(statsRequest, text).top, signal)
    case 'POST /ls':
      return new Lines(upkeep.list(read(listRequest, text).selection, signal))
    default:
      return undefined
  }
}

function read<T>(schema: z.ZodType<T>, text: string): T {
  try {
    return schema.parse(JSON.parse(text))
  } catch (error) {
    throw new BadRequestError('the request is of another version of Weir', { cause: error })
  }
}
