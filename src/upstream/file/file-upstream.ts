import { fileURLToPath } from 'node:url'
import { drvOutputFile } from '../../nix/drv-output.ts'
import { maxNarinfoBytes } from '../../nix/narinfo.ts'
import { maxRealisationBytes } from '../../nix/realisation.ts'
import { type Upstream, UpstreamError } from '../../ports/upstream.ts'
import type { FileSystem } from './find-file.ts'
import { createMountedFolder } from './mounted-folder.ts'
import { readAll } from '../read-all.ts'
import type { UpstreamOptions } from '../upstream-options.ts'
import { resolveNarUrl } from '../url-rules.ts'

const maxCacheInfoBytes = 64 * 1024

/** Stands for the folder where URLs are resolved: nobody is asked at it. */
const anyRoot = new URL('http://folder.invalid/')

/** A folder in the layout of a Nix binary cache, such as a mounted mirror: where it is not there, nothing is said to be absent. */
export function createFileUpstream(options: UpstreamOptions, files?: FileSystem): Upstream {
  const folder = createMountedFolder(
    { path: fileURLToPath(options.url), openMs: options.headersMs, readMs: options.idleMs },
    files,
  )
  const readSmall = async (path: string, maxBytes: number, signal: AbortSignal) => {
    const body = await folder.open(path.split('/'), signal)
    return body && (await readAll(body, maxBytes))
  }
  return {
    name: options.name,
    cacheInfo: (signal) => readSmall('nix-cache-info', maxCacheInfoBytes, signal),
    narinfo: (hash, signal) => readSmall(`${hash}.narinfo`, maxNarinfoBytes, signal),
    async nar(url, signal) {
      return folder.open(pathOf(url), signal)
    },
    // Nix keeps the logs of a folder as plain text.
    buildLog: (derivation, signal) => folder.open(['log', derivation], signal),
    realisation: (output, signal) => readSmall(drvOutputFile(output), maxRealisationBytes, signal),
    close: () => Promise.resolve(),
  }
}

/** The path, part by part, that a narinfo's `URL` field means below the folder. */
function pathOf(url: string): readonly string[] {
  const { pathname, search } = resolveNarUrl(anyRoot, url, [])
  const parts = decode(pathname.slice(1))?.split('/')
  if (parts === undefined || search !== '') {
    throw new UpstreamError('url-refused', "the narinfo's URL is no path of a file")
  }
  return parts
}

function decode(pathname: string): string | null {
  try {
    return decodeURIComponent(pathname)
  } catch {
    return null
  }
}
