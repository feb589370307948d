import { createServer, type RequestListener } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { answerRequest } from './answer-request.ts'
import { createFaultList, type Fault, type FaultList } from './fault.ts'
import { planFaults } from './fault-plan.ts'
import { createGate, type Gate } from './gate.ts'
import { createRequestLog, type RequestRecord, type WaitForRequests } from './request-log.ts'

export type UpstreamOptions = {
  /** The folder to serve. */
  readonly root: string
  readonly faults?: readonly Fault[]
  /** Which paths exist (no leading slash, no query), for instance `nix-cache-info`; all unless told. */
  readonly only?: (path: string) => boolean
  /** Whether files have ETags; they have not unless told. */
  readonly etags?: boolean
  /** A free one unless told. */
  readonly port?: number
  /** Makes it speak https, and show this. */
  readonly certificate?: Certificate
}

/** A certificate and its secret key, as PEM. */
export type Certificate = { readonly cert: string; readonly key: string }

/** A binary cache on loopback that serves a folder, keeps a log, and fails as told. */
export type UpstreamServer = AsyncDisposable & {
  /** Without a slash at the end. */
  readonly url: string
  readonly port: number
  /** Oldest first; a test may empty it. */
  readonly requests: RequestRecord[]
  readonly waitFor: WaitForRequests
  readonly faults: FaultList
  /** Holds all matching requests (all, unless told) from now on at a gate, before any answer. */
  readonly hold: (match?: { readonly method?: string; readonly path?: RegExp }) => Gate
  /** Refuses connections and breaks those that there are. */
  readonly stop: () => Promise<void>
  /** Listens again, on the same port. */
  readonly start: () => Promise<void>
  readonly close: () => Promise<void>
  /** Shows another certificate on new connections, and breaks those that there are; nothing where it does not speak https. */
  readonly present: (certificate: Certificate) => void
}

/** Starts an upstream on 127.0.0.1. */
export async function startUpstream(options: UpstreamOptions): Promise<UpstreamServer> {
  const { root, only = () => true, etags = false, certificate } = options
  const faults = createFaultList(options.faults)
  const { requests, begin, waitFor } = createRequestLog()
  const answer: RequestListener = (request, response) => {
    const update = begin(request, response)
    const plan = planFaults(faults.strike(request.method ?? '', request.url ?? ''))
    const onHead = (status: number) => {
      update({ status })
    }
    const onSent = (bytesSent: number) => {
      update({ bytesSent })
    }
    const context = { root, only, etags, plan, onHead, onSent }
    answerRequest(request, response, context).catch((error: unknown) => {
      // Who has gone away may have taken the files along.
      if (request.socket.destroyed) return
      response.destroy()
      // Only a test's own hook, or a bug of the lab, fails: let the test run end with it.
      throw error
    })
  }
  const keepAliveTimeout = 60_000
  const tlsServer = certificate && createTlsServer({ keepAliveTimeout, ...certificate }, answer)
  const server = tlsServer ?? createServer({ keepAliveTimeout }, answer)
  const listen = (port: number) =>
    new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host: '127.0.0.1', port }, () => {
        server.off('error', reject)
        resolve()
      })
    })
  const stop = () =>
    new Promise<void>((resolve) => {
      // The callback's error only says that the server was stopped before.
      server.close(() => {
        resolve()
      })
      server.closeAllConnections()
    })
  await listen(options.port ?? 0)
  const { port } = server.address() as AddressInfo
  return {
    url: `${certificate ? 'https' : 'http'}://127.0.0.1:${port}`,
    port,
    requests,
    waitFor,
    faults,
    hold: ({ method, path = /^/ } = {}) => {
      const gate = createGate()
      const action = { kind: 'delayUntil', until: gate } as const
      faults.add({ path, action, ...(method !== undefined && { method }) })
      return gate
    },
    stop,
    start: () => listen(port),
    close: stop,
    present: (shown) => {
      tlsServer?.setSecureContext(shown)
      server.closeAllConnections()
    },
    [Symbol.asyncDispose]: stop,
  }
}
