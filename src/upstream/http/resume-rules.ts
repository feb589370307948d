/** When the rest of a file may be put behind its beginning (RFC 9110, 13.1.5 and 14): decided from the headers alone. */
import type { Response } from './http-client.ts'
import { encodingOf } from './response-body.ts'

/** What an answer said of the file, by which its rest is recognised. */
export type FileIdentity = {
  /** A strong ETag, with its quotes. */
  readonly etag: string | null
  /** As it was written. */
  readonly lastModified: string | null
  /** Bytes of the whole file. */
  readonly length: number | null
}

/** An answer, without its body. */
export type AnswerHead = Pick<Response, 'statusCode' | 'headers'>

/** The identity of the file that a 200 began. */
export function identityOf({ headers }: AnswerHead): FileIdentity {
  const length = text(headers['content-length'])
  return {
    etag: strongEtag(headers),
    lastModified: text(headers['last-modified']),
    length: length !== null && /^\d{1,15}$/.test(length) ? Number(length) : null,
  }
}

/**
 * The headers that ask for the rest of a file from an offset on; none where nothing of it has come. `null` where no answer could be
 * recognised as the rest of the same file.
 */
export function restHeaders(
  { etag, lastModified, length }: FileIdentity,
  at: number,
): Readonly<Record<string, string>> | null {
  if (at === 0) return {}
  const validator = etag ?? lastModified
  if (validator === null && length === null) return null
  return { range: `bytes=${at}-`, ...(validator === null ? {} : { 'if-range': validator }) }
}

/** Whether an answer is the rest from the offset on: where the file may be another one by now it is not, nor is the whole file. */
export function isRest(file: FileIdentity, at: number, answer: AnswerHead): boolean {
  const { statusCode, headers } = answer
  if (encodingOf(answer) !== 'identity') return false
  if (at === 0) return statusCode === 200
  if (statusCode !== 206) return false
  const range = /^bytes (\d{1,15})-\d{1,15}\/(\d{1,15}|\*)$/.exec(
    text(headers['content-range']) ?? '',
  )
  if (range === null || Number(range[1]) !== at) return false
  const total = range[2] === '*' ? null : Number(range[2])
  const etag = strongEtag(headers)
  if (file.etag !== null && etag !== null && etag !== file.etag) return false
  const isSameLength = file.length !== null && total === file.length
  // Without a validator the length is all that says that it is the same file.
  if (file.etag === null && file.lastModified === null) return isSameLength
  return isSameLength || file.length === null || total === null
}

function strongEtag(headers: AnswerHead['headers']): string | null {
  const etag = text(headers['etag'])
  return etag !== null && /^"[^"]+"$/.test(etag) ? etag : null
}

function text(value: string | string[] | undefined): string | null {
  return typeof value === 'string' && value !== '' ? value : null
}
