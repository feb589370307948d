import type { HeaderPart } from '../../settings/header-template.ts'
import { basic, bearer, isHeaderValue, secretOf } from './header-values.ts'
import { findInNetrc, type NetrcEntry, parseNetrc } from './netrc.ts'
import { UpstreamError } from '../../ports/upstream.ts'
import type { UpstreamOptions } from '../upstream-options.ts'
import { createWatchedFile, useless } from './watched-file.ts'

/** What to send with one request. */
export type SentCredentials = {
  readonly headers: Readonly<Record<string, string>>
  /** The keys of the configuration that they come from, for people; empty where there are none. */
  readonly keys: readonly string[]
}

/** What an upstream is to see of Weir. */
export type Credentials = {
  /** For a URL below one of its roots, and no other. Files that are of no use are an UpstreamError `credentials`. */
  of(url: URL): Promise<SentCredentials>
}

/** What credentials depend on besides the configuration. */
export type CredentialsWorld = {
  readonly env: Readonly<Record<string, string | undefined>>
  /** A clock that only goes forward, in milliseconds. */
  readonly nowMs: () => number
}

/** One header's value, or null where there is none for this URL. */
type Source = {
  readonly name: string
  readonly key: string
  readonly value: (url: URL) => Promise<string | null>
}

/** Reads an upstream's credentials from their files, when they are needed and again when they change. */
export function createCredentials(
  { credentials }: Pick<UpstreamOptions, 'credentials'>,
  world: CredentialsWorld,
): Credentials {
  const { headers } = credentials
  const sources = [
    ...authorization(credentials, world),
    ...headers.map(({ name, parts }): Source => {
      const key = `headers.${name}`
      return { name, key, value: template(key, parts, world) }
    }),
  ]
  return {
    async of(url) {
      const found: { readonly name: string; readonly key: string; readonly value: string }[] = []
      for (const { name, key, value: read } of sources) {
        const value = await read(url)
        if (value !== null) found.push({ name, key, value })
      }
      return {
        headers: Object.fromEntries(found.map(({ name, value }) => [name, value])),
        keys: found.map(({ key }) => key),
      }
    },
  }
}

/** The one source of `Authorization`: what is said of this upstream outranks the netrc. */
function authorization(
  { tokenFile, user, passwordFile, netrcFile }: UpstreamOptions['credentials'],
  world: CredentialsWorld,
): readonly Source[] {
  const name = 'authorization'
  if (tokenFile !== null) {
    const token = secretFile('token_file', tokenFile, world)
    return [{ name, key: 'token_file', value: async () => bearer(await token()) }]
  }
  if (user !== null && passwordFile !== null) {
    const password = secretFile('password_file', passwordFile, world, isPassword)
    const value = async () => basic(user, await password())
    return [{ name, key: 'user and password_file', value }]
  }
  if (netrcFile === null) return []
  const entries = netrc(netrcFile, world)
  const value = async (url: URL) => {
    const entry = findInNetrc(await entries(), url.hostname)
    if (entry === null) return null
    const { login, password } = entry
    if (isPassword(login) && isPassword(password)) return basic(login, password)
    throw useless('netrc_file', netrcFile, `the entry for ${url.hostname} has a control character`)
  }
  return [{ name, key: 'netrc_file', value }]
}

function isPassword(text: string): boolean {
  return !/\p{Cc}/u.test(text)
}

function secretFile(
  key: string,
  path: string,
  { nowMs }: CredentialsWorld,
  isUsable: (secret: string) => boolean = isHeaderValue,
): () => Promise<string> {
  const read = (text: string): string => {
    const secret = secretOf(text)
    if (secret === null) throw useless(key, path, 'is not one line of text')
    if (isUsable(secret)) return secret
    throw useless(key, path, 'has characters that no header can carry')
  }
  return createWatchedFile({ path, key, read, nowMs })
}

function netrc(path: string, { nowMs }: CredentialsWorld): () => Promise<readonly NetrcEntry[]> {
  const key = 'netrc_file'
  const read = (text: string): readonly NetrcEntry[] => {
    const reading = parseNetrc(text)
    if (reading.kind === 'entries') return reading.entries
    throw useless(key, path, `line ${reading.line} has ${reading.what}`)
  }
  return createWatchedFile({ path, key, read, nowMs })
}

/** A header's value from its parts. */
function template(
  key: string,
  parts: readonly HeaderPart[],
  world: CredentialsWorld,
): () => Promise<string> {
  const pieces = parts.map((part): (() => Promise<string> | string) => {
    switch (part.kind) {
      case 'text':
        return () => part.text
      case 'file':
        return secretFile(key, part.path, world)
      case 'env':
        return () => variable(key, part.name, world)
    }
  })
  return async () => {
    let value = ''
    for (const piece of pieces) value += await piece()
    if (isHeaderValue(value)) return value
    throw new UpstreamError('credentials', `${key}: its value is none that a header can carry`)
  }
}

function variable(key: string, name: string, { env }: CredentialsWorld): string {
  const value = env[name] ?? ''
  if (value !== '' && isHeaderValue(value)) return value
  const what = value === '' ? 'is not set' : 'has characters that no header can carry'
  throw new UpstreamError('credentials', `${key}: the variable ${name} ${what}`)
}
