import { createHash, createHmac } from 'node:crypto'
import type { S3Identity } from './s3-credentials.ts'

/** What is asked for, and as whom. */
export type S3Request = {
  /** Its path is written as S3 writes it: everything encoded but letters, digits, `-._~` and `/`; no query. */
  readonly url: URL
  readonly region: string
  readonly credentials: S3Identity
  readonly atMs: number
}

/** The hash of no payload. */
const emptySha256 = createHash('sha256').digest('hex')

/** The headers that sign a GET (AWS Signature Version 4), but for Host. The signer is loaded when it is first needed. */
export async function signS3Request({
  url,
  region,
  credentials,
  atMs,
}: S3Request): Promise<Readonly<Record<string, string>>> {
  const { SignatureV4 } = await import('@smithy/signature-v4')
  const signer = new SignatureV4({
    ...{ service: 's3', region, credentials, sha256: Sha256 },
    // S3 takes paths as they are written, encoded once.
    uriEscapePath: false,
  })
  const { headers } = await signer.sign(
    {
      ...{ method: 'GET', protocol: url.protocol, hostname: url.hostname, path: url.pathname },
      query: {},
      headers: { host: url.host, 'x-amz-content-sha256': emptySha256 },
    },
    { signingDate: new Date(atMs) },
  )
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name !== 'host'))
}

/** SHA-256, or its HMAC where there is a secret, as the signer wants it: of pieces that come one after another. */
class Sha256 {
  readonly #secret: Uint8Array | null
  #pieces: Uint8Array[] = []

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#secret = secret === undefined ? null : bytes(secret)
  }

  update(piece: string | ArrayBuffer | ArrayBufferView): void {
    this.#pieces.push(bytes(piece))
  }

  digest(): Promise<Uint8Array> {
    const hash = this.#secret === null ? createHash('sha256') : createHmac('sha256', this.#secret)
    for (const piece of this.#pieces) hash.update(piece)
    return Promise.resolve(hash.digest())
  }

  reset(): void {
    this.#pieces = []
  }
}

function bytes(data: string | ArrayBuffer | ArrayBufferView): Uint8Array {
  if (typeof data === 'string') return Buffer.from(data)
  return ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data)
}
