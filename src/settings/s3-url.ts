/** `s3://BUCKET[?KEY=VALUE&…]`, an S3 bucket as the substituters of a nix.conf name it. */
import { describeFound, quote } from './describe-found.ts'
import { type Reading } from './fields.ts'
import { nearestName } from './nearest-name.ts'

/** Where a bucket's objects are, and whose credentials ask for them. */
export type S3Address = {
  readonly bucket: string
  readonly region: string
  /** The bucket's root over http or https, without a trailing slash. */
  readonly root: string
  /** Whether it is at AWS itself, rather than at an endpoint that was named. */
  readonly isAws: boolean
  /** A profile of the AWS configuration; `null` is for where credentials are found by themselves. */
  readonly profile: string | null
}

const EXAMPLE = 's3://BUCKET, as in "s3://acme-cache?region=eu-west-1"'

type Key = 'region' | 'endpoint' | 'scheme' | 'profile' | 'addressing-style'

/** What the keys that Weir goes by may be. */
const keys: Readonly<Record<Key, { readonly pattern: RegExp; readonly allowed: string }>> = {
  region: { pattern: /^[A-Za-z0-9-]{1,63}$/, allowed: 'a region such as "eu-west-1"' },
  endpoint: {
    pattern: /^(https?:\/\/)?([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?\/?$/,
    allowed: 'HOST, HOST:PORT or http(s)://HOST:PORT',
  },
  scheme: { pattern: /^https?$/, allowed: '"https" or "http"' },
  profile: { pattern: /^[^\p{Cc}]{1,128}$/u, allowed: 'the name of a profile' },
  'addressing-style': {
    pattern: /^(auto|path|virtual)$/,
    allowed: '"auto", "path" or "virtual"',
  },
}

/** Keys that say how Nix writes to a bucket, or what it makes of it: Weir does not write, and has settings of its own. */
const ignoredKeys: readonly string[] = [
  ...['compression', 'compression-level', 'parallel-compression', 'secret-key', 'secret-keys'],
  ...['narinfo-compression', 'ls-compression', 'log-compression', 'write-nar-listing'],
  ...['index-debug-info', 'local-nar-cache', 'multipart-upload', 'buffer-size'],
  ...['multipart-threshold', 'multipart-chunk-size', 'storage-class', 'path-info-cache-size'],
  ...['priority', 'want-mass-query', 'trusted', 'system-features', 'store'],
]

/** Checks an S3 URL, and writes its keys in order. */
export function readS3Url(text: string): Reading<string> {
  const { bucket, rest, query } = split(text)
  const shown = describeFound(text)
  if (rest !== '')
    return mistake(`${shown}, which goes on after the bucket`, `the bucket alone: ${EXAMPLE}`)
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket)) {
    const allowed = `a bucket's name, of lower-case letters, digits, hyphens and dots: ${EXAMPLE}`
    return mistake(`${shown}, whose bucket is ${quote(bucket)}`, allowed)
  }
  const parameters = parseQuery(query)
  if (parameters === null) return mistake(`${shown}, whose query is malformed`, EXAMPLE)
  for (const [key, value] of parameters) {
    const problem = problemWith(key, value)
    if (problem !== null) return mistake(`${shown}, ${problem.found}`, problem.allowed)
  }
  if (!URL.canParse(parseS3Url(text).root)) {
    return mistake(`${shown}, whose "endpoint" is no host`, keys.endpoint.allowed)
  }
  const search = [...parameters]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${encodeURIComponent(value)}`)
    .join('&')
  return { kind: 'value', value: `s3://${bucket}${search === '' ? '' : `?${search}`}` }
}

/** Where the bucket of a URL that `readS3Url` gave is. */
export function parseS3Url(url: string): S3Address {
  const { bucket, query } = split(url)
  const parameters = parseQuery(query) ?? new Map<string, string>()
  const region = parameters.get('region') ?? 'us-east-1'
  const endpoint = parameters.get('endpoint') ?? null
  const { scheme, host } = originOf(endpoint, parameters.get('scheme') ?? 'https', region)
  const style = parameters.get('addressing-style') ?? 'auto'
  // A certificate for *.s3.REGION.amazonaws.com is none for a.b.s3.REGION.amazonaws.com.
  const isVirtual =
    style === 'auto' ? endpoint === null && !bucket.includes('.') : style === 'virtual'
  return {
    ...{ bucket, region },
    root: isVirtual ? `${scheme}://${bucket}.${host}` : `${scheme}://${host}/${bucket}`,
    isAws: endpoint === null,
    profile: parameters.get('profile') ?? null,
  }
}

/** The keys of an S3 URL that only concern Nix, and that Weir passes over. */
export function ignoredS3Keys(url: string): readonly string[] {
  if (!url.startsWith('s3://')) return []
  const parameters = parseQuery(split(url).query) ?? new Map<string, string>()
  return [...parameters.keys()].filter((key) => ignoredKeys.includes(key))
}

function originOf(
  endpoint: string | null,
  scheme: string,
  region: string,
): { readonly scheme: string; readonly host: string } {
  if (endpoint === null) {
    const domain = region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com'
    return { scheme, host: `s3.${region}.${domain}` }
  }
  const [, own, host = ''] = /^(?:(https?):\/\/)?(.*?)\/?$/.exec(endpoint) ?? []
  return { scheme: own ?? scheme, host }
}

type Problem = { readonly found: string; readonly allowed: string }

function problemWith(key: string, value: string): Problem | null {
  if (isKey(key)) {
    const { pattern, allowed } = keys[key]
    return pattern.test(value) ? null : { found: `whose ${quote(key)} is ${quote(value)}`, allowed }
  }
  if (ignoredKeys.includes(key)) return null
  const nearest = nearestName(key, Object.keys(keys))
  const known = Object.keys(keys)
    .map((each) => quote(each))
    .join(', ')
  return {
    found: `whose query has ${quote(key)}`,
    allowed: nearest === null ? known : `${known} (is ${quote(nearest)} meant?)`,
  }
}

function isKey(key: string): key is Key {
  return Object.hasOwn(keys, key)
}

function split(text: string): {
  readonly bucket: string
  readonly rest: string
  readonly query: string
} {
  const [, bucket = '', rest = '', query = ''] =
    /^s3:\/\/([^/?#]*)\/*([^?]*)(?:\?(.*))?$/is.exec(text) ?? []
  return { bucket, rest, query }
}

/** As Nix reads it: `+` stands for itself. `null` where a key comes twice or an escape is wrong. */
function parseQuery(query: string): ReadonlyMap<string, string> | null {
  const parameters = new Map<string, string>()
  for (const part of query.split('&').filter((each) => each !== '')) {
    const [key = '', ...value] = part.split('=')
    const decoded = decode(value.join('='))
    if (decoded === null || parameters.has(key)) return null
    parameters.set(key, decoded)
  }
  return parameters
}

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}

function mistake(found: string, allowed: string): Reading<string> {
  return { kind: 'mistake', found, allowed }
}
