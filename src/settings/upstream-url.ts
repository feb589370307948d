import { describeFound, quote } from './describe-found.ts'
import { type Reading } from './fields.ts'
import { readFileUrl } from './file-url.ts'
import { readS3Url } from './s3-url.ts'

/** What an upstream's URL may be. */
export const UPSTREAM_URL_ALLOWED =
  'the URL of a binary cache, such as "https://cache.nixos.org", "cachix:NAME", "s3://BUCKET?region=REGION" or "file:///FOLDER"'

const CACHIX_EXAMPLE = '"cachix:" and the name of the cache, such as "cachix:nix-community"'

/** Normalises an upstream's URL: a lower-case host, no trailing slash; a mistake never repeats a password. */
export function readUpstreamUrl(text: string): Reading<string> {
  if (/[\s\\\p{Cc}]/u.test(text)) return mistake(describeFound(text), UPSTREAM_URL_ALLOWED)
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(text)?.[1]?.toLowerCase()
  if (/^cachix:/i.test(text)) return readCachix(text)
  if (scheme === undefined) return mistake(describeFound(text), UPSTREAM_URL_ALLOWED)
  const read = readers.get(scheme)
  if (read === undefined) {
    return mistake(`${describeFound(text)}, which is ${quote(scheme)}`, UPSTREAM_URL_ALLOWED)
  }
  return refusePlainly(text, scheme) ?? read(text)
}

const readers: ReadonlyMap<string, (text: string) => Reading<string>> = new Map([
  ['http', readHttp],
  ['https', readHttp],
  ['file', readFileUrl],
  ['s3', readS3Url],
])

function readHttp(text: string): Reading<string> {
  const url = URL.parse(text)
  return url === null
    ? mistake(describeFound(text), UPSTREAM_URL_ALLOWED)
    : { kind: 'value', value: url.href.replace(/\/+$/, '') }
}

/** `cachix:NAME` is the cache of that name at cachix.org. */
function readCachix(text: string): Reading<string> {
  const name = text.slice('cachix:'.length)
  if (/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(name)) {
    return { kind: 'value', value: `https://${name}.cachix.org` }
  }
  const host = /^(?:\/\/)?(?:https?:\/\/)?([a-z0-9-]+)(?:\.cachix\.org)?\/*$/i.exec(name)?.[1]
  const remedy = host === undefined ? CACHIX_EXAMPLE : quote(`cachix:${host.toLowerCase()}`)
  return mistake(describeFound(text), remedy)
}

/** What no kind of upstream takes; a query only S3. */
function refusePlainly(text: string, scheme: string): Reading<string> | null {
  const shown = describeFound(text)
  if (hasUserInfo(text)) {
    const allowed =
      scheme === 's3'
        ? 'the URL without them: they are found as the AWS tools find them, "profile" names a profile'
        : 'the URL without them: token_file gives a token, user and password_file a password'
    return mistake(`${shown}, which has credentials in it`, allowed)
  }
  if (text.includes('?') && scheme !== 's3') {
    const allowed =
      'the URL without "?" and what follows (priority is the order of the [[upstream]] tables)'
    return mistake(`${shown}, which has a query`, allowed)
  }
  if (text.includes('#')) {
    return mistake(`${shown}, which has a fragment`, 'the URL without "#" and what follows')
  }
  return null
}

function hasUserInfo(text: string): boolean {
  const url = URL.parse(text)
  return (
    /^[^/]*\/\/[^/?#]*@/.test(text) || (url !== null && `${url.username}${url.password}` !== '')
  )
}

function mistake(found: string, allowed: string): Reading<string> {
  return { kind: 'mistake', found, allowed }
}
