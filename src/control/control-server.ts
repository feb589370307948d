import { createServer, type IncomingMessage, type Server } from 'node:http'
import { type Admin, NoSuchUpstreamError } from '../admin/admin.ts'
import { NotShownError, type StoredFiles } from '../admin/stored-files.ts'
import { PinError, type Pinning } from '../admin/pins.ts'
import { reply } from '../http/reply.ts'
import { parseStorePathHash, type StoreDir } from '../nix/store-path.ts'
import type { Log } from '../ports/log.ts'
import { formatBlocks, readBlocks } from '../settings/block-schema.ts'
import { SettingsError } from '../settings/settings-error.ts'
import { BadRequestError } from './bad-request-error.ts'
import { answerFiles } from './file-routes.ts'
import { answerPins } from './pin-routes.ts'

/** What a running Weir says of itself on its control socket. */
export type Status = {
  readonly version: string
  readonly pid: number
  /** Seconds. */
  readonly uptimeSeconds: number
  /** `http://…` or `unix:…` */
  readonly address: string
  /** `name:base64` */
  readonly publicKey: string
  readonly configuration: string
  readonly cache: {
    readonly dir: string
    readonly nars: number
    readonly bytes: number
    readonly limitBytes: number
  }
  readonly upstreams: readonly string[]
  readonly policy: {
    readonly epoch: string
    readonly enforce: boolean
    readonly rules: number
    readonly blocks: number
    readonly suspended: readonly string[]
  }
}

export type ControlDeps = {
  readonly admin: Admin
  readonly files: StoredFiles
  readonly pinning: Pinning
  readonly status: () => Status
  readonly storeDir: StoreDir
  readonly log: Log
}

const maxBodyBytes = 1024 * 1024

/**
 * The server behind `control.sock`: who can open the socket is its owner, and may ask and change everything. Answers are JSON,
 * but for the bytes of files; mistakes are `{ "error": … }` with status 422.
 */
export function createControlServer(deps: ControlDeps): Server {
  return createServer((request, response) => {
    const answered = async (): Promise<void> => {
      if (await answerFiles(deps.files, request, response)) return
      const value = await answer(deps, request)
      if (value === undefined) replyJson(404, { error: 'not here' })
      else replyJson(200, value)
    }
    answered().catch((error: unknown) => {
      if (response.destroyed) return
      const isMistake =
        error instanceof BadRequestError ||
        error instanceof SettingsError ||
        error instanceof NotShownError ||
        error instanceof PinError ||
        error instanceof NoSuchUpstreamError
      if (!isMistake) deps.log.error({ event: 'control.failed', err: error })
      const message = error instanceof Error ? error.message : String(error)
      if (response.headersSent) response.destroy()
      else replyJson(isMistake ? 422 : 500, { error: message })
    })
    const replyJson = (status: number, value: unknown): void => {
      const text = JSON.stringify(value)
      reply(response, status, { 'content-type': 'application/json' }, text)
    }
  })
}

/** The answer's value; `undefined` where there is no such request. */
async function answer(deps: ControlDeps, request: IncomingMessage): Promise<unknown> {
  const { admin, storeDir } = deps
  const url = new URL(request.url ?? '/', 'http://weir')
  const text = request.method === 'POST' ? await readBody(request) : ''
  const route = `${request.method ?? ''} ${url.pathname}`
  switch (route) {
    case 'GET /status':
      return deps.status()
    case 'POST /reload':
      return admin.reload()
    case 'GET /upstreams':
      return admin.upstreams()
    case 'POST /suspend':
      return { isNew: await admin.suspend(textOf(url, 'upstream'), textOf(url, 'why')) }
    case 'POST /resume':
      return { isNew: await admin.resume(textOf(url, 'upstream')) }
    case 'GET /recalls':
      return { toml: formatBlocks(admin.recalls()) }
    case 'POST /recall':
      return admin.recall(oneBlock(text, storeDir))
    case 'POST /lift':
      return { isLifted: await admin.lift(oneBlock(text, storeDir)) }
    case 'GET /explain': {
      const hash = parseStorePathHash(textOf(url, 'hash'))
      if (hash === null) throw new BadRequestError('hash: 32 characters of a store path')
      return admin.explain(hash, { live: url.searchParams.has('live'), to: 'all' })
    }
    default:
      return answerPins(deps.pinning, route, url)
  }
}

function textOf(url: URL, name: string): string {
  const text = url.searchParams.get(name)
  if (text === null || text === '') throw new BadRequestError(`${name} is missing`)
  return text
}

function oneBlock(toml: string, storeDir: StoreDir) {
  const [block, ...more] = readBlocks(toml, 'the recall', storeDir)
  if (block === undefined || more.length > 0) throw new BadRequestError('say one recall')
  return block
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > maxBodyBytes) throw new BadRequestError('the request is too long')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
