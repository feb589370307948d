import { hasDotSegment } from './url-rules.ts'

/** The roots of a cache, its own and its mirrors': what credentials are for. */
export function rootsOf({
  url,
  mirrors,
}: {
  readonly url: string
  readonly mirrors: readonly string[]
}): readonly URL[] {
  return [url, ...mirrors].map((root) => new URL(`${root}/`))
}

/** Whether a URL lies at a root's origin and below its path; one that a server might read as leading out does not. */
export function isBelow(root: URL, url: URL): boolean {
  const isThere = url.origin === root.origin && url.pathname.startsWith(root.pathname)
  return isThere && !hasDotSegment(url.pathname)
}
