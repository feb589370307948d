import { fileURLToPath } from 'node:url'
import { describeFound } from './describe-found.ts'
import { type Reading } from './fields.ts'

const EXAMPLE = '"file:///" and an absolute path, such as "file:///mnt/cache"'

/** `file:///FOLDER`, a folder in the layout of a binary cache: normalised, without a trailing slash. */
export function readFileUrl(text: string): Reading<string> {
  const url = URL.parse(text)
  if (url === null || !/^file:\/\/\/[^/]/i.test(text) || folderOf(url) === null) {
    return { kind: 'mistake', found: describeFound(text), allowed: EXAMPLE }
  }
  return { kind: 'value', value: url.href.replace(/\/+$/, '') }
}

/** The folder; null where a part of it has a slash or NUL in it, which no file system has. */
function folderOf(url: URL): string | null {
  try {
    const folder = fileURLToPath(url)
    return folder.includes('\0') ? null : folder
  } catch {
    return null
  }
}
