import { UpstreamError } from '../../ports/upstream.ts'
import type { S3Address } from '../../settings/s3-url.ts'
import { namesHost, type RedirectHosts } from '../url-rules.ts'

/** The region to sign for, where an address is the bucket's own; `null` where the operator named its host, which sees no credentials. */
export type S3Reach = { readonly region: string } | null

/** Whether an address may be asked, and as whom; what is neither the bucket's nor named in `redirectHosts` is `redirect-refused`. */
export function reachOfS3Url(url: URL, address: S3Address, redirectHosts: RedirectHosts): S3Reach {
  const region = regionOf(url, address)
  if (region !== null && url.search === '') return { region }
  if (region === null && namesHost(redirectHosts, url)) return null
  throw new UpstreamError(
    'redirect-refused',
    region === null
      ? `a redirect out of the bucket, to ${url.host}, is not followed`
      : 'an object of a bucket is asked for without a query',
  )
}

/** The address with its path as S3 writes it when it is signed; `url-refused` where that cannot be. */
export function asS3Url(url: URL): URL {
  try {
    const parts = url.pathname.split('/').map((part) => encode(decodeURIComponent(part)))
    const written = new URL(url)
    written.pathname = parts.join('/')
    return written
  } catch {
    throw new UpstreamError('url-refused', "the narinfo's URL is no key of an object")
  }
}

function encode(part: string): string {
  return encodeURIComponent(part).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

function regionOf(url: URL, { bucket, region, root, isAws }: S3Address): string | null {
  const own = new URL(`${root}/`)
  if (url.origin === own.origin) return url.pathname.startsWith(own.pathname) ? region : null
  if (!isAws || url.protocol !== own.protocol || url.port !== own.port) return null
  // S3 leads to another of its regions, where the bucket is.
  const [, host, at, inRegion] = awsHost.exec(url.hostname) ?? []
  if (at === undefined) return null
  const isBucket = host === bucket || (host === undefined && url.pathname.startsWith(`/${bucket}/`))
  return isBucket ? (inRegion ?? region) : null
}

const awsHost =
  /^(?:([a-z0-9.-]+)\.)?(s3)(?:[.-](?:dualstack\.)?([a-z]{2}(?:-[a-z]+)+-\d+))?\.amazonaws\.com(?:\.cn)?$/
