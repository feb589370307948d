import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { type Upstream, type UpstreamBody, UpstreamError } from '../../src/ports/upstream.ts'
import type { Lookup } from '../../src/upstream/guarded-connector.ts'
import { createHttpUpstream } from '../../src/upstream/http-upstream.ts'
import { reachOfAddress, reachOfHost } from '../../src/upstream/network-reach.ts'
import { resolveNarUrl, resolveRedirect } from '../../src/upstream/url-rules.ts'
import { parseStorePathHash } from '../../src/nix/store-path.ts'
import { must } from '../policy/signed-narinfo.ts'

const hash = must(parseStorePathHash('0'.repeat(32)))
const signal = new AbortController().signal

type Server = AsyncDisposable & { readonly port: number; readonly connections: () => number }

async function serve(listener: RequestListener): Promise<Server> {
  const server = createServer(listener)
  let connections = 0
  server.on('connection', () => (connections += 1))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => connections,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function upstreamAt(url: string, redirectHosts: readonly string[] = [], lookup?: Lookup): Upstream {
  return createHttpUpstream(
    {
      name: 'test',
      url,
      redirectHosts,
      userAgent: 'weir/test',
      connectMs: 2000,
      headersMs: 300,
      idleMs: 300,
      maxConnections: 4,
    },
    lookup,
  )
}

/** The code of what an upstream throws; the text of what it gives; null for what it certainly does not have. */
async function outcome(act: Promise<Uint8Array | null>): Promise<string | null> {
  try {
    const bytes = await act
    return bytes && Buffer.from(bytes).toString()
  } catch (error) {
    if (error instanceof UpstreamError) return `error: ${error.code}`
    throw error
  }
}

async function collect(body: UpstreamBody): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks)
}

async function narOf(upstream: Upstream, url: string): Promise<Uint8Array | null> {
  const body = await upstream.nar(url, signal)
  return body && collect(body)
}

const answers: Readonly<Record<string, readonly [RequestListener, string | null]>> = {
  'a narinfo is given as it is': [(_, response) => response.end('text'), 'text'],
  '404 is certain': [(_, response) => response.writeHead(404).end(), null],
  '410 is certain': [(_, response) => response.writeHead(410).end(), null],
  '401 could not tell': [(_, response) => response.writeHead(401).end(), 'error: status'],
  '403 could not tell': [(_, response) => response.writeHead(403).end(), 'error: status'],
  '429 could not tell': [(_, response) => response.writeHead(429).end(), 'error: status'],
  '500 could not tell': [(_, response) => response.writeHead(500).end(), 'error: status'],
  '204 could not tell': [(_, response) => response.writeHead(204).end(), 'error: status'],
  'an endless body is left': [
    (_, response) => {
      const more = (): void => {
        while (response.write(Buffer.alloc(65_536)));
        response.once('drain', more)
      }
      more()
    },
    'error: too-large',
  ],
  'a Content-Encoding that was not asked for': [
    (_, response) => response.writeHead(200, { 'content-encoding': 'br' }).end(),
    'error: unexpected-encoding',
  ],
  'a cut body': [
    (_, response) => {
      response.writeHead(200, { 'content-length': 100 })
      response.write('cut', () => response.destroy())
    },
    'error: reset',
  ],
  'a black hole': [() => undefined, 'error: timeout'],
  'a body that stalls': [
    (_, response) => {
      response.writeHead(200, { 'content-length': 100 }).write('stalls')
    },
    'error: timeout',
  ],
  'a redirect to itself, again and again': [
    (request, response) => response.writeHead(302, { location: request.url }).end(),
    'error: redirect-refused',
  ],
  'a redirect to a file': [
    (_, response) => response.writeHead(302, { location: 'file:///etc/passwd' }).end(),
    'error: redirect-refused',
  ],
  'a redirect with credentials': [
    (_, response) => response.writeHead(302, { location: 'http://u:p@127.0.0.1/' }).end(),
    'error: redirect-refused',
  ],
  'a redirect to nowhere': [
    (_, response) => response.writeHead(302).end(),
    'error: redirect-refused',
  ],
}

for (const [title, [listener, expected]] of Object.entries(answers)) {
  t.test(`${title}: ${expected ?? 'absent'}`, async (t) => {
    await using server = await serve(listener)
    const upstream = upstreamAt(`http://127.0.0.1:${server.port}`)
    t.equal(await outcome(upstream.narinfo(hash, signal)), expected)
    await upstream.close()
  })
}

t.test('nobody listens: it could not tell', async (t) => {
  t.equal(await outcome(upstreamAt('http://127.0.0.1:1').narinfo(hash, signal)), 'error: connect')
})

t.test('a private upstream may redirect to another private one', async (t) => {
  await using target = await serve((request, response) => response.end(request.url))
  await using server = await serve((_, response) => {
    response.writeHead(307, { location: `http://127.0.0.1:${target.port}/there` }).end()
  })
  const upstream = upstreamAt(`http://127.0.0.1:${server.port}`)
  t.equal(await outcome(upstream.narinfo(hash, signal)), '/there')
  await upstream.close()
})

t.test('a public name that DNS leads to a private address is not connected to', async (t) => {
  await using server = await serve((_, response) => response.end('secret'))
  const lookup: Lookup = (_name, _options, callback) => {
    callback(null, [{ address: '127.0.0.1', family: 4 }])
  }
  const url = `http://cache.example.org:${server.port}`
  const guarded = upstreamAt(url, [], lookup)
  t.equal(await outcome(guarded.narinfo(hash, signal)), 'error: address-refused')
  t.equal(server.connections(), 0, 'not even a connection')
  const meant = upstreamAt(url, ['cache.example.org'], lookup)
  t.equal(await outcome(meant.narinfo(hash, signal)), 'secret', 'unless redirect_hosts names it')
  await meant.close()
})

t.test('a public upstream that redirects to a private address is not followed', async (t) => {
  await using inner = await serve((_, response) => response.end('secret'))
  await using server = await serve((_, response) => {
    response.writeHead(302, { location: `http://127.0.0.1:${inner.port}/` }).end()
  })
  const lookup: Lookup = (_name, _options, callback) => {
    callback(null, [{ address: '127.0.0.1', family: 4 }])
  }
  const name = `cache.example.org:${server.port}`
  const upstream = upstreamAt(`http://${name}`, [name], lookup)
  t.equal(await outcome(upstream.narinfo(hash, signal)), 'error: address-refused')
  t.equal(inner.connections(), 0)
  await upstream.close()
})

t.test("a narinfo's URL stays below the cache's root", async (t) => {
  const root = new URL('https://cache.example.org/team/')
  const good: Readonly<Record<string, string>> = {
    'nar/x.nar.xz': 'https://cache.example.org/team/nar/x.nar.xz',
    'nar/x.nar?token=1': 'https://cache.example.org/team/nar/x.nar?token=1',
    'https://cache.example.org/team/x': 'https://cache.example.org/team/x',
    'https://cdn.example.org/x': 'https://cdn.example.org/x',
  }
  for (const [url, expected] of Object.entries(good)) {
    t.equal(resolveNarUrl(root, url, ['cdn.example.org']).href, expected)
  }
  const bad = [
    '../x',
    'nar/../../x',
    'nar/%2e%2e/%2E%2E/x',
    'nar/..%2fx',
    'nar\\..\\x',
    '/other/x',
    '//other.example.org/x',
    'https://other.example.org/x',
    'http://cdn.example.org/x',
    'https://cache.example.org:444/team/x',
    'https://u:p@cache.example.org/team/x',
    'file:///etc/passwd',
    'nar/x#y',
    'http://[::1',
  ]
  for (const url of bad) {
    t.throws(() => resolveNarUrl(root, url, ['cdn.example.org']), { code: 'url-refused' }, url)
  }
})

t.test('a redirect never leads from https to http', async (t) => {
  const from = new URL('https://cache.example.org/x')
  t.equal(resolveRedirect(from, '/y').href, 'https://cache.example.org/y')
  t.throws(() => resolveRedirect(from, 'http://cache.example.org/x'), { code: 'redirect-refused' })
  t.throws(() => resolveRedirect(from, 'ftp://x/'), { code: 'redirect-refused' })
})

t.test('what is private, by address and by name', async (t) => {
  const privateAddresses =
    '10.0.0.1 172.16.0.1 192.168.1.1 127.0.0.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 255.255.255.255 ::1 :: fe80::1 fc00::1 ::ffff:10.0.0.1 64:ff9b::a00:1 2002:a00:1:: nonsense'
  for (const address of privateAddresses.split(' '))
    t.equal(reachOfAddress(address), 'private', address)
  for (const address of ['1.1.1.1', '2606:4700::1111', '::ffff:1.1.1.1']) {
    t.equal(reachOfAddress(address), 'public', address)
  }
  for (const host of ['localhost', 'cache', 'cache.local', 'x.internal', '10.0.0.1', '[::1]']) {
    t.equal(reachOfHost(host), 'private', host)
  }
  for (const host of ['cache.nixos.org', '1.1.1.1', 'local.example.org']) {
    t.equal(reachOfHost(host), 'public', host)
  }
})

t.test('NARs are asked for as they are; build logs come without their encoding', async (t) => {
  const asked: (string | undefined)[] = []
  await using server = await serve((request, response) => {
    asked.push(request.headers['accept-encoding'])
    const encoding = /\.(br|gzip)\.drv$/.exec(request.url ?? '')?.[1]
    const body = { br: brotliCompressSync('log'), gzip: gzipSync('log') }[encoding ?? ''] ?? 'log'
    response
      .writeHead(200, encoding === undefined ? {} : { 'content-encoding': encoding })
      .end(body)
  })
  const upstream = upstreamAt(`http://127.0.0.1:${server.port}`)
  t.equal(await outcome(narOf(upstream, 'nar/x.nar')), 'log')
  t.equal(asked[0], 'identity')
  for (const name of ['x.br.drv', 'x.gzip.drv', 'x.drv']) {
    const body = must(await upstream.buildLog(name, signal))
    t.equal(Buffer.from(await collect(body)).toString(), 'log', name)
  }
  await upstream.close()
})
