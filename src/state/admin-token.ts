/**
 * The token that changes and the records of others ask for. Its file holds it alone, on one line: 43 to 128 characters of base64url;
 * Weir's own are 43, for 32 random bytes.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { makePrivateFile } from './make-private-file.ts'
import { StateFileError } from './state-file-error.ts'

const tokenPattern = /^[0-9A-Za-z_-]{43,128}$/

/** The token in a file; where there is no such file it is made, for its owner alone. Throws a StateFileError where the file is no good. */
export async function readOrMakeAdminToken(file: string): Promise<string> {
  const existing = await readToken(file)
  if (existing !== null) return existing
  const token = randomBytes(32).toString('base64url')
  await makePrivateFile(file, `${token}\n`)
  return token
}

/** Whether a text that somebody gave is the token; how long it takes says nothing of either. */
export function isToken(given: string, token: string): boolean {
  return timingSafeEqual(sha256(given), sha256(token))
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

async function readToken(file: string): Promise<string | null> {
  const opened = await openExisting(file)
  if (opened === null) return null
  await using handle = opened
  const { mode } = await handle.stat()
  if ((mode & 0o077) !== 0) {
    throw new StateFileError(`${file} may be read by others: run chmod 600 ${file}`)
  }
  const token = (await handle.readFile('utf8').catch(unreadable(file))).trim()
  // The file is not quoted: what is in it may be a secret of something else.
  if (!tokenPattern.test(token)) {
    throw new StateFileError(
      `${file} is not an admin token (43 to 128 characters of base64url): mend it, or remove it and Weir makes a new one`,
    )
  }
  return token
}

async function openExisting(file: string): Promise<FileHandle | null> {
  try {
    return await open(file, 'r')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    return unreadable(file)(error)
  }
}

function unreadable(file: string): (cause: unknown) => never {
  return (cause) => {
    throw new StateFileError(`${file} cannot be read: let Weir's user read it`, { cause })
  }
}
