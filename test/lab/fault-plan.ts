import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import {
  type BodySource,
  bufferSource,
  corruptSource,
  readSource,
  shortSource,
} from './body-source.ts'
import type { FaultAction, Place } from './fault.ts'
import type { Gate } from './gate.ts'

/** What happens once so many bytes of the body are sent. */
export type Mark = { readonly at: number | Place; readonly act: Gate | 'close' | 'reset' }

/** How to answer one request: the faults that struck it, put together. */
export type FaultPlan = {
  /** What to await, in turn, before answering. */
  readonly waits: readonly (() => Promise<unknown>)[]
  readonly handle: ((request: IncomingMessage, response: ServerResponse) => unknown) | null
  /** An answer in place of the file. */
  readonly reply: {
    readonly status: number
    readonly headers: OutgoingHttpHeaders
    readonly body: string
  } | null
  /** Changes the file (null: there is none), in turn. */
  readonly transforms: readonly ((file: BodySource | null) => Promise<BodySource | null>)[]
  readonly headers: OutgoingHttpHeaders
  readonly ranges: boolean
  readonly chunked: boolean
  /** What is added to the right Content-Length. */
  readonly lengthBy: number
  readonly marks: readonly Mark[]
  readonly slow: { readonly bytes: number; readonly gate: Pick<Gate, 'pass'> } | null
}

const noFault: FaultPlan = {
  waits: [],
  handle: null,
  reply: null,
  transforms: [],
  headers: {},
  ranges: true,
  chunked: false,
  lengthBy: 0,
  marks: [],
  slow: null,
}

const page =
  '<!doctype html>\n<html><head><title>Sign in</title></head><body>Sign in</body></html>\n'

function addWait(plan: FaultPlan, wait: () => Promise<unknown>): FaultPlan {
  return { ...plan, waits: [...plan.waits, wait] }
}

function addMark(plan: FaultPlan, mark: Mark): FaultPlan {
  return { ...plan, marks: [...plan.marks, mark] }
}

function addTransform(
  plan: FaultPlan,
  transform: (file: BodySource | null) => BodySource | null | Promise<BodySource>,
): FaultPlan {
  return { ...plan, transforms: [...plan.transforms, async (file) => transform(file)] }
}

function apply(plan: FaultPlan, action: FaultAction): FaultPlan {
  switch (action.kind) {
    case 'status': {
      const { status, headers = {}, body = 'fault\n' } = action
      return { ...plan, reply: { status, headers, body } }
    }
    case 'redirect': {
      const { status = 302, location } = action
      return { ...plan, reply: { status, headers: { location }, body: '' } }
    }
    case 'html':
      return {
        ...plan,
        reply: { status: 200, headers: { 'content-type': 'text/html' }, body: page },
      }
    case 'replaceBody': {
      const { body } = action
      return addTransform(plan, async (file) =>
        bufferSource(typeof body === 'function' ? body(await readSource(file)) : body),
      )
    }
    case 'shortOk':
      return addTransform(plan, (file) => file && shortSource(file, action.bytes))
    case 'corrupt':
      return addTransform(plan, (file) => file && corruptSource(file, action.at))
    case 'truncate':
      return addMark(plan, { at: action.bytes, act: 'close' })
    case 'reset':
      return addMark(plan, { at: action.bytes, act: 'reset' })
    case 'gateAfterBytes':
      return addMark(plan, { at: action.bytes, act: action.gate })
    case 'norange':
      return { ...plan, ranges: false }
    case 'wrongLength':
      return { ...plan, lengthBy: action.by }
    case 'chunked':
      return { ...plan, chunked: true }
    case 'header':
      return { ...plan, headers: { ...plan.headers, [action.name]: action.value } }
    case 'delayUntil': {
      const { until } = action
      return addWait(plan, () => ('pass' in until ? until.pass() : until))
    }
    case 'delayMs':
      return addWait(plan, () => delay(action.ms))
    case 'slow':
      return { ...plan, slow: action }
    case 'drip':
      return { ...plan, slow: { bytes: 1, gate: { pass: () => delay(action.everyMs) } } }
    case 'handler':
      return { ...plan, handle: action.handle }
  }
}

/** Puts the faults that strike a request together. */
export function planFaults(actions: readonly FaultAction[]): FaultPlan {
  return actions.reduce(apply, noFault)
}
