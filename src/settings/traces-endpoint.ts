/** What `traces.endpoint` may be. */
export const TRACES_ALLOWED =
  'an http or https URL without credentials and query, such as "http://localhost:4318/v1/traces"'

/** The setting, its URL normalised; null for any other text. Credentials stay out of the configuration. */
export function parseTracesEndpoint(text: string): string | null {
  const url = URL.parse(text)
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) return null
  const isPlain = url.username === '' && url.password === '' && url.search === '' && url.hash === ''
  return isPlain && !/\s/.test(text) ? url.href : null
}
