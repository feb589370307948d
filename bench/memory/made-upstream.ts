/** A thread that serves a made cache, so that sending does not wait for whoever measures. */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import type { MadeCache } from './made-cache.ts'
import { piecesOf, sizeOf } from './made-nar.ts'

export type MadeUpstream = AsyncDisposable & { readonly url: string }

/** Serves a made cache on a free port of 127.0.0.1. */
export async function startMadeUpstream(cache: MadeCache): Promise<MadeUpstream> {
  const worker = new Worker(new URL(import.meta.url), { workerData: cache })
  const port = await new Promise<number>((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })
  return {
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      await worker.terminate()
    },
  }
}

/** Large, since each write costs a system call, and small enough that a slow reader is noticed. */
const writeBytes = 256 * 1024

function serve(cache: MadeCache): void {
  const server = createServer((request, response) => {
    answer(cache, request.url ?? '', response).catch(() => {
      // The reader went away in the middle.
      response.destroy()
    })
  })
  server.listen(0, '127.0.0.1', () => {
    parentPort?.postMessage((server.address() as AddressInfo).port)
  })
}

async function answer(cache: MadeCache, path: string, response: ServerResponse): Promise<void> {
  const text = path === '/nix-cache-info' ? 'StoreDir: /nix/store\n' : cache.narinfos.get(path)
  const nar = cache.nars.get(path)
  if (nar === undefined) {
    response.writeHead(text === undefined ? 404 : 200).end(text)
    return
  }
  response.writeHead(200, { 'content-length': sizeOf(nar) })
  await pipeline(Readable.from(cut(piecesOf(nar)), { highWaterMark: 1 }), response)
}

function* cut(pieces: Iterable<Uint8Array>): Generator<Uint8Array> {
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; at += writeBytes) yield piece.subarray(at, at + writeBytes)
  }
}

if (!isMainThread) serve(workerData as MadeCache)
