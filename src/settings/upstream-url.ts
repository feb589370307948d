import { describeFound, quote } from './describe-found.ts'
import { type Reading } from './fields.ts'

/** What an upstream's URL may be. */
export const UPSTREAM_URL_ALLOWED =
  'the URL of a binary cache, http or https, such as "https://cache.nixos.org"'

/** Normalises an upstream's URL: a lower-case host, no trailing slash; a mistake never repeats a password. */
export function readUpstreamUrl(text: string): Reading<string> {
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(text)?.[1]?.toLowerCase()
  if (scheme !== undefined && scheme !== 'http' && scheme !== 'https') {
    return mistake(
      `${describeFound(text)}, which is ${quote(scheme)}`,
      `${UPSTREAM_URL_ALLOWED}; other kinds come later`,
    )
  }
  const url = URL.parse(text)
  if (url !== null && (url.username !== '' || url.password !== '' || hasUserInfo(text))) {
    return mistake(
      `${describeFound(text)}, which has credentials in it`,
      'the URL without them: credentials are read from files, see token_file, and user with password_file',
    )
  }
  if (scheme === undefined || url === null || /[\s\\\p{Cc}]/u.test(text)) {
    return mistake(describeFound(text), UPSTREAM_URL_ALLOWED)
  }
  if (text.includes('?')) {
    return mistake(
      `${describeFound(text)}, which has a query`,
      'the URL without "?" and what follows (priority is the order of the [[upstream]] tables)',
    )
  }
  if (text.includes('#')) {
    return mistake(
      `${describeFound(text)}, which has a fragment`,
      'the URL without "#" and what follows',
    )
  }
  return { kind: 'value', value: url.href.replace(/\/+$/, '') }
}

function hasUserInfo(text: string): boolean {
  return /^[^/]*\/\/[^/?#]*@/.test(text)
}

function mistake(found: string, allowed: string): Reading<string> {
  return { kind: 'mistake', found, allowed }
}
