/**
 * A bucket on loopback that believes only what AWS Signature Version 4 signs; it recomputes each signature by itself, as "Authenticating
 * Requests (AWS Signature Version 4)" of the S3 API reference says.
 */
import { createHash, createHmac } from 'node:crypto'
import { once } from 'node:events'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'

export type SigV4Options = {
  readonly bucket: string
  readonly region: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
  /** Anybody may read. */
  readonly isPublic?: boolean
  /** Answers a request instead, where it wants to; after the signature was checked. */
  readonly instead?: (request: IncomingMessage, response: ServerResponse) => boolean
}

export type SigV4Server = AsyncDisposable & {
  readonly port: number
  /** Objects by key. */
  readonly objects: Map<string, Uint8Array | string>
  readonly headersOf: Map<string, Readonly<Record<string, string>>>
  readonly requests: { readonly url: string; readonly headers: IncomingHttpHeaders }[]
}

const maxSkewMs = 15 * 60_000
const emptySha256 = createHash('sha256').digest('hex')

/** Listens on a free port of 127.0.0.1. */
export async function startSigV4Server(options: SigV4Options): Promise<SigV4Server> {
  const objects: SigV4Server['objects'] = new Map()
  const headersOf: SigV4Server['headersOf'] = new Map()
  const requests: SigV4Server['requests'] = []
  const server = createServer((request, response) => {
    response.on('error', () => undefined)
    requests.push({ url: request.url ?? '', headers: request.headers })
    const problem =
      options.isPublic === true && request.headers.authorization === undefined
        ? null
        : problemWith(request, options)
    if (problem !== null) {
      refuse(response, 403, problem)
      return
    }
    if (options.instead?.(request, response) === true) return
    const key = keyOf(request, options.bucket)
    const object = key === null ? undefined : objects.get(key)
    if (key === null) refuse(response, 404, 'NoSuchBucket')
    else if (object === undefined) refuse(response, 404, 'NoSuchKey')
    else response.writeHead(200, headersOf.get(key) ?? {}).end(object)
  })
  server.listen({ host: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    ...{ objects, headersOf, requests },
    [Symbol.asyncDispose]: async () => {
      if (!server.listening) return
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

/** Answers as S3 does what it refuses. */
export function refuse(response: ServerResponse, status: number, code: string): void {
  const body = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>no</Message></Error>`
  response.writeHead(status, { 'content-type': 'application/xml' }).end(body)
}

/** Virtual-hosted where the host says so, in the path otherwise. */
function keyOf({ url = '', headers }: IncomingMessage, bucket: string): string | null {
  const path = decodeURIComponent(url)
  if (headers.host?.startsWith(`${bucket}.`) === true) return path.slice(1)
  return path.startsWith(`/${bucket}/`) ? path.slice(bucket.length + 2) : null
}

function problemWith(request: IncomingMessage, options: SigV4Options): string | null {
  const { headers } = request
  const [, keyId, day, region, signed, signature] =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})$/.exec(
      headers.authorization ?? '',
    ) ?? []
  if (day === undefined || region === undefined || signed === undefined) return 'AccessDenied'
  if (keyId !== options.accessKeyId) return 'InvalidAccessKeyId'
  if (region !== options.region) return 'AuthorizationHeaderMalformed'
  if (headers['x-amz-security-token'] !== options.sessionToken) return 'InvalidToken'
  const date = String(headers['x-amz-date'])
  if (!date.startsWith(day) || Math.abs(Date.now() - timeOf(date)) > maxSkewMs) {
    return 'RequestTimeTooSkewed'
  }
  const names = signed.split(';')
  const mustBeSigned = Object.keys(headers).filter((name) => /^(host|x-amz-.*)$/.test(name))
  const isWhole = mustBeSigned.every((name) => names.includes(name))
  if (!isWhole || headers['x-amz-content-sha256'] !== emptySha256) return 'SignatureDoesNotMatch'
  const scope = `${day}/${region}/s3/aws4_request`
  const toSign = [
    ...['AWS4-HMAC-SHA256', date, scope],
    sha256(canonicalRequest(request, names)),
  ].join('\n')
  const key = ['s3', 'aws4_request'].reduce(
    (secret: Buffer, part) => hmac(secret, part),
    hmac(hmac(Buffer.from(`AWS4${options.secretAccessKey}`), day), region),
  )
  return hmac(key, toSign).toString('hex') === signature ? null : 'SignatureDoesNotMatch'
}

/** The path is decoded and encoded anew: one that was not sent as S3 writes it has another signature. */
function canonicalRequest(
  { method = '', url = '', headers }: IncomingMessage,
  names: readonly string[],
): string {
  const [path = '', query = ''] = url.split('?')
  const canonicalPath = path.split('/').map((part) => encode(decodeURIComponent(part)))
  const lines = names.toSorted().map((name) => `${name}:${String(headers[name]).trim()}\n`)
  const hash = String(headers['x-amz-content-sha256'])
  return [
    ...[method, canonicalPath.join('/'), query],
    ...[lines.join(''), names.toSorted().join(';'), hash],
  ].join('\n')
}

function encode(text: string): string {
  return Array.from(Buffer.from(text), (byte) => {
    const character = String.fromCharCode(byte)
    if (/[A-Za-z0-9._~-]/.test(character)) return character
    return `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }).join('')
}

function timeOf(date: string): number {
  return Date.parse(date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'))
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}
