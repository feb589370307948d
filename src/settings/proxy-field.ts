/** What `network.proxy` may be. */
export const PROXY_ALLOWED =
  '"environment", "none", or the URL of an HTTP proxy, such as "http://proxy.example.org:3128"'

/** The setting, its URL normalised; null for any other text. Credentials stay out of the configuration. */
export function parseProxy(text: string): string | null {
  if (text === 'environment' || text === 'none') return text
  const url = URL.parse(text)
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) return null
  const isPlain = url.username === '' && url.password === '' && url.search === '' && url.hash === ''
  return isPlain && url.pathname === '/' && !/\s/.test(text) ? url.origin : null
}
