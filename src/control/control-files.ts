import { Client, type Dispatcher } from 'undici'
import { NotShownError, type StoredFiles } from '../admin/stored-files.ts'
import { parseNarFileName, narFileName } from '../nix/nar-key.ts'
import { ControlError, controlSocket } from './control-client.ts'
import { narHeader, pathHeader } from './file-routes.ts'

/** A look into what the Weir stores that runs on a state folder; to be disposed of. */
export function openControlFiles(stateDir: string): StoredFiles & AsyncDisposable {
  const client = new Client('http://weir', {
    socketPath: controlSocket(stateDir),
    // A large NAR is listed, and a file at its end is reached, only after all of it was decoded.
    headersTimeout: 10 * 60_000,
    bodyTimeout: 10 * 60_000,
  })
  const get = async (
    path: string,
    query: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<Dispatcher.ResponseData> => {
    const answer = await client.request({ method: 'GET', path, query, signal })
    if (answer.statusCode === 200) return answer
    const { error } = (await answer.body.json()) as { readonly error: string }
    throw answer.statusCode === 422 ? new NotShownError(error) : new ControlError(error)
  }
  return {
    async list(hash, signal) {
      const { headers, body } = await get('/listing', { hash }, signal)
      const key = parseNarFileName(String(headers[narHeader]))
      if (key === null) throw new ControlError('the running Weir is of another version')
      return { baseName: String(headers[pathHeader]), key, listing: await body.bytes() }
    },
    async read(key, { offset, size }, signal) {
      const query = { nar: narFileName(key), offset: String(offset), size: String(size) }
      return (await get('/file', query, signal)).body as AsyncIterable<Uint8Array>
    },
    [Symbol.asyncDispose]: () => client.destroy(),
  }
}
