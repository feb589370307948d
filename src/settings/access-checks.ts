import { type Conflict } from './conflict.ts'
import { quote, quoteName } from './describe-found.ts'
import { formatKeyPath, type KeyPath } from './key-path.ts'
import { formatListenAddress } from './listen-address.ts'
import { isLoopbackHost } from './loopback.ts'
import { type SettingsDocument } from './schema.ts'
import { type ListenAddress, type Settings } from './settings.ts'
import { SettingsError } from './settings-error.ts'

type Upstream = SettingsDocument['upstream'][number]

/** The parts of a document that say how upstreams are reached, and by whom Weir is. */
export type AccessDocument = {
  readonly server: Pick<SettingsDocument['server'], 'listen' | 'expose_private'>
  readonly network: Pick<SettingsDocument['network'], 'netrc_file'>
  readonly upstream: readonly Upstream[]
}

const EXPOSE_ALLOWED =
  'an address of this machine alone, such as "127.0.0.1:8484", or server.expose_private = true where all who reach it may have what it fetches'

/** Credentials that do not fit each other, or their upstream, or that would become everybody's. */
export function checkAccess(document: AccessDocument): readonly Conflict[] {
  return [
    ...document.upstream.flatMap((upstream, index) => [
      ...checkPairs(upstream, index),
      ...checkKind(upstream, index),
    ]),
    ...checkMirrors(document.upstream),
    ...checkExposed(document),
  ]
}

/** Keys of which one says nothing without the other, or against it. */
function checkPairs(upstream: Upstream, index: number): readonly Conflict[] {
  const { token_file, user, password_file, certificate_file, certificate_key_file } = upstream
  const pairs = [
    { user, password_file },
    { certificate_file, certificate_key_file },
  ].flatMap((pair) => {
    const [one, other] = Object.entries(pair)
    if (one === undefined || other === undefined) return []
    const [given, missing] = one[1] === undefined ? [other, one] : [one, other]
    if (given[1] === undefined || missing[1] !== undefined) return []
    const path = ['upstream', index, given[0]]
    return [
      {
        path,
        found: `it without ${missing[0]}`,
        allowed: `${given[0]} and ${missing[0]}, or neither`,
      },
    ]
  })
  if (token_file === undefined || (user === undefined && password_file === undefined)) return pairs
  const allowed = 'token_file, or user and password_file: one request can say only one of them'
  const other = user === undefined ? 'password_file' : 'user'
  return [...pairs, { path: ['upstream', index, 'token_file'], found: `it and ${other}`, allowed }]
}

/** What HTTP's credentials say nothing to. */
function checkKind(upstream: Upstream, index: number): readonly Conflict[] {
  const scheme = /^([^:]*):/.exec(upstream.url)?.[1] ?? ''
  const remedy = otherKinds[scheme]
  if (remedy === undefined) return []
  return httpKeys(upstream).map((key) => ({
    path: ['upstream', index, key],
    found: `it for an upstream at ${scheme}://`,
    allowed: remedy,
  }))
}

const otherKinds: Readonly<Record<string, string>> = {
  file: 'no credentials: what may be read is a matter of the permissions of its folder',
  s3: 'no such credentials: those of AWS are used, as its tools read them (variables, or the profile)',
}

/** The credentials that are written for an upstream, by their keys. */
function httpKeys(upstream: Upstream): readonly string[] {
  const { token_file, user, password_file, certificate_file, headers } = upstream
  return Object.entries({
    ...{ token_file, user, password_file, certificate_file },
    headers: headers.length > 0 ? headers : undefined,
  }).flatMap(([key, value]) => (value === undefined ? [] : [key]))
}

/** Each address once, as an upstream's own or as a mirror. */
function checkMirrors(upstreams: readonly Upstream[]): readonly Conflict[] {
  const known = new Map<string, KeyPath>()
  for (const [index, { url }] of upstreams.entries()) {
    if (!known.has(url)) known.set(url, ['upstream', index, 'url'])
  }
  const conflicts: Conflict[] = []
  for (const [index, { mirrors }] of upstreams.entries()) {
    for (const [position, mirror] of mirrors.entries()) {
      const path = ['upstream', index, 'mirrors', position]
      const same = known.get(mirror)
      if (same === undefined) known.set(mirror, path)
      else {
        const found = `${quote(mirror)}, which is ${formatKeyPath(same)}`
        conflicts.push({ path, found, allowed: 'each URL once' })
      }
    }
  }
  return conflicts
}

function checkExposed({ server, network, upstream }: AccessDocument): readonly Conflict[] {
  if (server.expose_private || isLocal(server.listen)) return []
  const why = whyPrivate({
    known: upstream.find((each) => httpKeys(each).length > 0),
    bucket: upstream.find(isAskedAsAws),
    hasNetrc: network.netrc_file !== undefined,
  })
  if (why === null) return []
  const found = `${quote(formatListenAddress(server.listen))}, while ${why}`
  return [{ path: ['server', 'listen'], found, allowed: EXPOSE_ALLOWED }]
}

/** Throws SettingsError where what an upstream gives to Weir alone would be given to other machines. */
export function checkExposure({ server, network, upstreams }: Settings): void {
  if (server.exposePrivate || isLocal(server.listen)) return
  const known = upstreams.find(({ credentials, tls }) => {
    const { tokenFile, user, headers } = credentials
    const isKnown = tokenFile !== null || user !== null || tls.certificateFile !== null
    return isKnown || headers.length > 0
  })
  const bucket = upstreams.find(isAskedAsAws)
  const why = whyPrivate({ known, bucket, hasNetrc: network.netrcFile !== null })
  if (why === null) return
  const found = `${quote(formatListenAddress(server.listen))}, which holds until a restart, while ${why}`
  const place = { source: 'the configuration', key: 'server.listen', line: null, nearest: null }
  throw new SettingsError('invalid', [{ ...place, found, allowed: EXPOSE_ALLOWED }])
}

/** Whether a bucket is asked: with credentials wherever some are found, which only the machine that asks can tell. */
function isAskedAsAws({
  url,
  mirrors,
}: {
  readonly url: string
  readonly mirrors: readonly string[]
}): boolean {
  return [url, ...mirrors].some((each) => each.startsWith('s3:'))
}

type Named = { readonly name: string }

function whyPrivate({
  known,
  bucket,
  hasNetrc,
}: {
  readonly known: Named | undefined
  readonly bucket: Named | undefined
  readonly hasNetrc: boolean
}): string | null {
  if (known !== undefined) return `the upstream ${quoteName(known.name)} has credentials`
  if (bucket !== undefined) {
    return `the upstream ${quoteName(bucket.name)} is asked with what credentials AWS's tools find`
  }
  return hasNetrc ? 'network.netrc_file has credentials' : null
}

function isLocal(listen: ListenAddress): boolean {
  return listen.kind === 'unix' || isLoopbackHost(listen.host)
}
