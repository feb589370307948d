import { readFileSync } from 'node:fs'
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls'
import { UpstreamError } from '../../ports/upstream.ts'
import type { UpstreamOptions } from '../upstream-options.ts'
import { describeErrno } from '../credentials/watched-file.ts'

/** What Weir believes at the other end of a connection, and what it shows there. */
export type TlsContexts = {
  /** For the cache's own roots: with Weir's certificate, where it has one. */
  readonly own: () => SecureContext | undefined
  /** For any other host. */
  readonly other: () => SecureContext | undefined
}

type Environment = Readonly<Record<string, string | undefined>>
type NamedFile = { readonly key: string; readonly path: string }

/**
 * The contexts of an upstream's connections, of files that are read once, when they are first needed; undefined where
 * Node's own will do. Files that are of no use are an UpstreamError `tls`, each time until they can be used.
 */
export function createTlsContexts(tls: UpstreamOptions['tls'], env: Environment): TlsContexts {
  const { certificateFile, certificateKeyFile } = tls
  const authorities = [...environmentFile(env), ...tls.caFiles.map((path) => caFile(path))]
  const other = once(() =>
    authorities.length === 0 ? undefined : makeContext({ ca: believed(authorities) }, authorities),
  )
  if (certificateFile === null || certificateKeyFile === null) return { own: other, other }
  const own = once(() => {
    const certificate = { key: 'certificate_file', path: certificateFile }
    const secret = { key: 'certificate_key_file', path: certificateKeyFile }
    const pair = { cert: readPem(certificate), key: readPem(secret) }
    const ca = authorities.length === 0 ? {} : { ca: believed(authorities) }
    return makeContext({ ...ca, ...pair }, [...authorities, certificate, secret])
  })
  return { own, other }
}

/** Whether anything is read from files, which may have changed while the options have not. */
export function hasTlsFiles({ tls }: Pick<UpstreamOptions, 'tls'>): boolean {
  return tls.caFiles.length > 0 || tls.certificateFile !== null
}

function caFile(path: string): NamedFile {
  return { key: 'ca_file', path }
}

/** The file of authorities that Nix goes by. */
function environmentFile(env: Environment): readonly NamedFile[] {
  const key = ['NIX_SSL_CERT_FILE', 'SSL_CERT_FILE'].find((name) => (env[name] ?? '') !== '')
  return key === undefined ? [] : [{ key, path: env[key] ?? '' }]
}

/** Node's own authorities, NODE_EXTRA_CA_CERTS among them, and those of the files. */
function believed(files: readonly NamedFile[]): string[] {
  return [...getCACertificates('default'), ...files.map((file) => readPem(file))]
}

function readPem({ key, path }: NamedFile): string {
  try {
    const text = readFileSync(path, 'utf8')
    if (text.includes('-----BEGIN ')) return text
  } catch (error) {
    throw new UpstreamError('tls', `${key} ${path}: ${describeErrno(error)}`, { cause: error })
  }
  throw new UpstreamError('tls', `${key} ${path}: has nothing in PEM in it`)
}

function makeContext(
  options: { readonly ca?: string[]; readonly cert?: string; readonly key?: string },
  files: readonly NamedFile[],
): SecureContext {
  try {
    return createSecureContext(options)
  } catch (error) {
    // No cause: what it is about may be a secret key.
    const named = files.map(({ key, path }) => `${key} ${path}`).join(', ')
    const why = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
    throw new UpstreamError('tls', `TLS cannot use what is in ${named} (${why})`)
  }
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | null = null
  return () => {
    made ??= { value: make() }
    return made.value
  }
}
