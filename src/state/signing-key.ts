import { readFile, stat } from 'node:fs/promises'
import {
  formatSecretKey,
  generateSecretKey,
  parseSecretKey,
  type SecretKey,
} from '../nix/signature.ts'
import { makePrivateFile } from './make-private-file.ts'

/** A key file that cannot be used: unreadable, not a secret key, or open to others. */
export class SigningKeyError extends Error {
  override readonly name = 'SigningKeyError'
}

/** The secret key in a file, `null` where there is no such file. The file is Nix's: `name:base64`, one line. */
export async function readSigningKey(file: string): Promise<SecretKey | null> {
  const text = await readExisting(file)
  if (text === null) return null
  const key = parseSecretKey(text.trim())
  if (key === null) {
    throw new SigningKeyError(
      `${file} is not a Nix secret key (name:base64 of 64 bytes): mend it, or remove it and Weir makes a new one`,
    )
  }
  const { mode } = await stat(file)
  if ((mode & 0o077) !== 0) {
    throw new SigningKeyError(`${file} may be read by others: run chmod 600 ${file}`)
  }
  return key
}

/** Makes a key and writes it to a file that must not exist, readable by its owner alone. */
export async function makeSigningKey(file: string, name: string): Promise<SecretKey> {
  const key = generateSecretKey(name)
  await makePrivateFile(file, `${formatSecretKey(key)}\n`)
  return key
}

/** The name of a key that is made without one: `weir.<host>-1`. */
export function defaultKeyName(machineName: string): string {
  const host = machineName.replaceAll(/[^0-9A-Za-z.-]/g, '-')
  return `weir.${host === '' ? 'localhost' : host}-1`
}

async function readExisting(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw new SigningKeyError(`${file} cannot be read`, { cause: error })
  }
}
