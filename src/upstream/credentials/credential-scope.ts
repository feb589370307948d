import { hasDotSegment } from '../url-rules.ts'

/** The root of a cache: what credentials are for. A mirror is asked by itself, as a cache with a root of its own. */
export function rootOf({ url }: { readonly url: string }): URL {
  return new URL(`${url}/`)
}

/** Whether a URL lies at a root's origin and below its path; one that a server might read as leading out does not. */
export function isBelow(root: URL, url: URL): boolean {
  const isThere = url.origin === root.origin && url.pathname.startsWith(root.pathname)
  return isThere && !hasDotSegment(url.pathname)
}
