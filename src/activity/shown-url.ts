/** An upstream's URL for everybody: without user, password, query and fragment, and of a folder only that it is one. */
export function shownUrl(text: string): string {
  const url = URL.parse(text)
  if (url === null) return ''
  if (url.protocol === 'file:') return 'file:///…'
  url.username = ''
  url.password = ''
  url.search = ''
  url.hash = ''
  return url.href.replace(/\/+$/, '')
}
