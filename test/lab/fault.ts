import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Gate } from './gate.ts'

/** Something that an upstream does wrong, or late. Faults that match one request are combined. */
export type FaultAction =
  /** Answers with this status in place of the file. */
  | {
      readonly kind: 'status'
      readonly status: number
      readonly headers?: OutgoingHttpHeaders
      readonly body?: string
    }
  | { readonly kind: 'redirect'; readonly location: string; readonly status?: number }
  /** A 200 with a web page, as captive portals send it. */
  | { readonly kind: 'html' }
  /** Another body; it may be made from the file's (empty where there is none). Makes missing files exist. */
  | {
      readonly kind: 'replaceBody'
      readonly body: string | Buffer | ((original: Buffer) => string | Buffer)
    }
  /** Only the first bytes of the body, with a Content-Length to match. */
  | { readonly kind: 'shortOk'; readonly bytes: number }
  /** The file with one bit flipped, at a place or a byte offset. */
  | { readonly kind: 'corrupt'; readonly at: 'first' | 'middle' | 'last' | number }
  /** The full Content-Length, but the connection is closed after so many bytes, or at a place of what is sent. */
  | { readonly kind: 'truncate'; readonly bytes: number | Place }
  /** The same with a TCP reset, which may overtake bytes that the reader has not read yet. */
  | { readonly kind: 'reset'; readonly bytes: number | Place }
  /** Ignores Range headers and offers no ranges. */
  | { readonly kind: 'norange' }
  /** A Content-Length that is so many bytes more, or less, than what is sent; the connection stays open. */
  | { readonly kind: 'wrongLength'; readonly by: number }
  /** No Content-Length. */
  | { readonly kind: 'chunked' }
  | { readonly kind: 'header'; readonly name: string; readonly value: string }
  /** Answers only once this gate or promise lets it. */
  | { readonly kind: 'delayUntil'; readonly until: Gate | Promise<unknown> }
  | { readonly kind: 'delayMs'; readonly ms: number }
  /** Sends the head and so many bytes, then waits at the gate, then goes on. */
  | { readonly kind: 'gateAfterBytes'; readonly bytes: number; readonly gate: Gate }
  /** Sends at most so many bytes each time that the gate admits one. */
  | { readonly kind: 'slow'; readonly bytes: number; readonly gate: Gate }
  /** Sends one byte each time that so much has passed. */
  | { readonly kind: 'drip'; readonly everyMs: number }
  /** Answers by itself; the request log then does not count the bytes. */
  | {
      readonly kind: 'handler'
      readonly handle: (request: IncomingMessage, response: ServerResponse) => void | Promise<void>
    }

/** In what is sent: before half of it, or before its last byte. */
export type Place = 'middle' | 'last'

export type Fault = {
  /** Any method unless told. */
  readonly method?: string
  /** Tested against the path with its query. */
  readonly path: RegExp
  /** How many matching requests it strikes; all unless told. */
  readonly times?: number
  /** How many requests of each path it strikes; all unless told. */
  readonly timesEach?: number
  /** What happens; a function is asked anew for each request, and may let one pass. */
  readonly action: FaultAction | (() => FaultAction | null)
}

/** The faults of a server; they may change while it runs. */
export type FaultList = {
  /** Adds a fault and returns a function that takes it away. */
  readonly add: (fault: Fault) => () => void
  readonly clear: () => void
  /** The actions that strike this request, in the order added; counts it for `times`. */
  readonly strike: (method: string, path: string) => readonly FaultAction[]
}

/** A fault, and how often it has still to strike, and has struck each path. */
type Armed = { readonly fault: Fault; left: number; readonly struck: Map<string, number> }

/** Makes a list of faults. */
export function createFaultList(initial: readonly Fault[] = []): FaultList {
  const armed = new Set<Armed>()
  const add = (fault: Fault) => {
    const entry = { fault, left: fault.times ?? Infinity, struck: new Map<string, number>() }
    armed.add(entry)
    return () => {
      armed.delete(entry)
    }
  }
  initial.forEach(add)
  return {
    add,
    clear: () => {
      armed.clear()
    },
    strike: (method, path) =>
      [...armed].flatMap((entry) => {
        const { fault } = entry
        const hit = (fault.method ?? method) === method && path.search(fault.path) >= 0
        const struck = entry.struck.get(path) ?? 0
        if (!hit || entry.left <= 0 || struck >= (fault.timesEach ?? Infinity)) return []
        entry.left -= 1
        entry.struck.set(path, struck + 1)
        const action = typeof fault.action === 'function' ? fault.action() : fault.action
        return action === null ? [] : [action]
      }),
  }
}
