import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { parseHash } from '../../src/nix/hash.ts'
import { formatPublicKey, generateSecretKey, publicKeyOf } from '../../src/nix/signature.ts'
import { parseBaseName } from '../../src/nix/store-path.ts'
import { signedNarinfo } from '../signed-narinfo.ts'

/** An upstream that has narinfos of paths that nobody fetches. */
export type MadeNarinfos = AsyncDisposable & {
  readonly url: string
  /** `name:base64` */
  readonly publicKey: string
  /** The hash parts of its store paths. */
  readonly hashes: readonly string[]
}

/** Serves so many signed narinfos on a free port of 127.0.0.1. */
export async function startMadeNarinfos(count: number): Promise<MadeNarinfos> {
  const key = generateSecretKey('bench.weir.test-1')
  const hashes = Array.from({ length: count }, (_, index) => String(index).padStart(32, '0'))
  const texts = new Map(
    hashes.map((hash) => [`/${hash}.narinfo`, signedNarinfo(madePath(hash), key)]),
  )
  const server = createServer((request, response) => {
    const text = texts.get(request.url ?? '')
    const headers = { 'content-length': Buffer.byteLength(text ?? '') }
    response.writeHead(text === undefined ? 404 : 200, headers)
    response.end(text)
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    publicKey: formatPublicKey(publicKeyOf(key)),
    hashes,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function madePath(hash: string) {
  const storePath = parseBaseName(`${hash}-made-1.0`)
  const narHash = parseHash('sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73')
  if (storePath === null || narHash === null) throw new TypeError(`${hash} is no hash of a path`)
  const file = { compression: 'zstd', fileHash: null, fileSize: null } as const
  return { storePath, references: [], url: `nar/${hash}.nar.zst`, ...file, narHash, narSize: 1000n }
}
