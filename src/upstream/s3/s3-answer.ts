import { UpstreamError } from '../../ports/upstream.ts'
import type { Response } from '../http/http-client.ts'
import { readAll } from '../read-all.ts'
import { asUpstreamError } from '../upstream-failure.ts'

const maxErrorBytes = 64 * 1024

/** Statuses whose body says what is meant. */
const explained: readonly number[] = [301, 307, 400, 403, 404]

export type JudgeOptions = {
  readonly isSigned: boolean
  /** Whether whoever may not list the bucket takes "denied" for "not there". */
  readonly absentOn403: boolean
  readonly signal: AbortSignal
}

/**
 * The answer, where its status says everything; what S3 says of the others is thrown. A 404 is an absence only where it is the object
 * that is not there, not the bucket.
 */
export async function judgeS3Answer(
  response: Response,
  { isSigned, absentOn403, signal }: JudgeOptions,
): Promise<Response> {
  const { statusCode: status } = response
  if (!explained.includes(status)) return response
  const code = await errorCode(response, signal)
  if (status === 404 && (code === null || code === 'NoSuchKey')) return response
  if (status === 403 && code === 'AccessDenied' && absentOn403) return response
  const region = response.headers['x-amz-bucket-region']
  const remedy = isRegion(region) ? moved(region) : remedyOf(code, isSigned)
  const what = code === null ? `status ${status}` : `status ${status} (${code})`
  throw new UpstreamError('status', remedy === null ? what : `${what}: ${remedy}`, { status })
}

/** The `Code` of the error that the body describes; null where it describes none. */
async function errorCode(response: Response, signal: AbortSignal): Promise<string | null> {
  try {
    const body = await readAll(response.body as AsyncIterable<Uint8Array>, maxErrorBytes)
    return /<Code>([A-Za-z0-9]{1,64})<\/Code>/.exec(Buffer.from(body).toString())?.[1] ?? null
  } catch (error) {
    if (error instanceof UpstreamError && error.code === 'too-large') return null
    throw asUpstreamError(error, signal)
  }
}

function isRegion(header: string | string[] | undefined): header is string {
  return typeof header === 'string' && /^[a-z0-9-]{1,63}$/.test(header)
}

function moved(region: string): string {
  return `is the bucket in the region ${region}? The URL says so with region=${region}`
}

function remedyOf(code: string | null, isSigned: boolean): string | null {
  if (code !== 'AccessDenied') return remedies.get(code ?? '') ?? null
  return isSigned
    ? 'it is not there, or may not be read: only who may list the bucket (s3:ListBucket) is told which; absent_on_403 takes it for the first'
    : 'it was asked without credentials, for none were found'
}

const wrong = 'the credentials are wrong, or no longer good'

const remedies: ReadonlyMap<string, string> = new Map([
  ['RequestTimeTooSkewed', "this machine's clock is wrong"],
  ['InvalidAccessKeyId', wrong],
  ['SignatureDoesNotMatch', wrong],
  ['ExpiredToken', wrong],
  ['InvalidToken', wrong],
])
