import { equal, ok } from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import { brotliCompressSync, gzipSync, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { parseDrvOutput, parseDrvOutputFile } from '../../src/nix/drv-output.ts'
import { maxNarinfoBytes } from '../../src/nix/narinfo.ts'
import {
  type Upstream,
  type UpstreamBody,
  UpstreamError,
  type UpstreamErrorCode,
} from '../../src/ports/upstream.ts'
import type { Lookup } from '../../src/upstream/http/guarded-connector.ts'
import { createHttpUpstream } from '../../src/upstream/http/http-upstream.ts'
import type { UpstreamOptions } from '../../src/upstream/upstream-options.ts'
import { plainUpstream } from '../fakes/upstream-options.ts'
import { reachOfAddress, reachOfHost } from '../../src/upstream/http/network-reach.ts'
import { namesHost, resolveNarUrl, resolveRedirect } from '../../src/upstream/url-rules.ts'
import { must, pathHash } from '../nix/fixtures.ts'

const seed = 20260731
const hash = pathHash('05fkk8iijk1kq5cpqwnfcnh5yks8nj4m')
const output = must(parseDrvOutput(`sha256:${'0a'.repeat(32)}!out`))
const patient = new AbortController().signal

type Handler = (request: IncomingMessage, response: ServerResponse) => void

/** A cache on loopback, and what came to it. */
type Loopback = {
  readonly server: Server
  readonly port: number
  readonly url: string
  readonly requests: { readonly url: string; readonly headers: IncomingHttpHeaders }[]
  readonly connections: () => number
}

async function serve(t: Test, handler: Handler): Promise<Loopback> {
  const requests: Loopback['requests'] = []
  let connections = 0
  const server = createServer({ maxHeaderSize: 1024 * 1024 }, (request, response) => {
    requests.push({ url: request.url ?? '', headers: request.headers })
    // A client that leaves is what several tests are about.
    response.on('error', () => undefined)
    handler(request, response)
  })
  server.on('connection', () => {
    connections++
  })
  server.listen({ host: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return {
    server,
    port,
    url: `http://127.0.0.1:${port}`,
    requests,
    connections: () => connections,
  }
}

type Changes = Partial<UpstreamOptions> & { readonly lookup?: Lookup }

function upstreamAt(t: Test, url: string, { lookup, ...changes }: Changes = {}): Upstream {
  const upstream = createHttpUpstream(
    plainUpstream({
      url,
      ...{ connectMs: 10_000, headersMs: 10_000, idleMs: 10_000, narinfoMs: 10_000 },
      maxConnections: 4,
      ...changes,
    }),
    lookup === undefined ? {} : { lookup },
  )
  // Not awaited: a leaked connection ends with its server.
  t.teardown(() => void upstream.close())
  return upstream
}

async function textOf(body: UpstreamBody | null): Promise<string | null> {
  if (body === null) return null
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

/** What somebody ends with: the code of an UpstreamError, or what else it is. */
async function codeOf(action: Promise<unknown>): Promise<unknown> {
  try {
    await action
    return 'no error'
  } catch (error) {
    return error instanceof UpstreamError ? error.code : error
  }
}

/** Writes until the client leaves. */
function pour(response: ServerResponse): void {
  const chunk = Buffer.alloc(64 * 1024)
  const more = (): void => {
    while (!response.destroyed && response.write(chunk));
  }
  response.on('drain', more)
  more()
}

const asks: readonly (readonly [string, string, (upstream: Upstream) => Promise<unknown>])[] = [
  ['nix-cache-info', '/nix-cache-info', (upstream) => upstream.cacheInfo(patient)],
  ['a narinfo', `/${hash}.narinfo`, (upstream) => upstream.narinfo(hash, patient)],
  [
    'a NAR',
    '/nar/x.nar.xz',
    async (upstream) => textOf(await upstream.nar('nar/x.nar.xz', patient)),
  ],
  [
    'a realisation',
    `/realisations/${output.id}.doi`,
    (upstream) => upstream.realisation(output, patient),
  ],
  [
    'a build log',
    '/log/x.drv',
    async (upstream) => textOf(await upstream.buildLog('x.drv', patient)),
  ],
]

for (const [what, path, ask] of asks) {
  t.test(`${what} is fetched below the cache's root`, async (t) => {
    const cache = await serve(t, (_, response) => response.end('the body'))
    t.equal(String(await ask(upstreamAt(t, `${cache.url}/some/cache`))), 'the body')
    t.equal(cache.requests[0]?.url, `/some/cache${path}`)
  })

  t.test(`${what} that is not found or gone is certainly absent`, async (t) => {
    for (const status of [404, 410]) {
      const cache = await serve(t, (_, response) => response.writeHead(status).end('nothing here'))
      t.equal(await ask(upstreamAt(t, cache.url)), null)
    }
  })

  t.test(`${what} under any other status could not be told`, async (t) => {
    const statuses = [
      201, 204, 206, 304, 400, 401, 403, 407, 408, 418, 429, 500, 501, 502, 503, 504,
    ]
    const cache = await serve(t, (_, response) => {
      response.writeHead(statuses[cache.requests.length - 1] ?? 200).end()
    })
    const upstream = upstreamAt(t, cache.url)
    for (const status of statuses) t.equal(await codeOf(ask(upstream)), 'status', String(status))
    t.equal(cache.requests.length, statuses.length)
  })

  t.test(`${what} from where nobody listens is a failure to connect`, async (t) => {
    const gone = await serve(t, () => undefined)
    gone.server.close()
    await once(gone.server, 'close')
    t.equal(await codeOf(ask(upstreamAt(t, gone.url))), 'connect')
  })

  t.test(`${what} that ends early is a reset, never a shorter body`, async (t) => {
    const cutHeaders: readonly Record<string, string>[] = [{ 'content-length': '100' }, {}]
    for (const headers of cutHeaders) {
      const cache = await serve(t, (_, response) => {
        response.writeHead(200, headers)
        response.write('ten bytes!', () => response.destroy())
      })
      t.equal(await codeOf(ask(upstreamAt(t, cache.url))), 'reset')
    }
    const silent = await serve(t, (request) => request.socket.destroy())
    t.equal(await codeOf(ask(upstreamAt(t, silent.url))), 'reset')
  })
}

t.test('a build trace is fetched from the folder of its derivation', async (t) => {
  const file = `build-trace-v2/${hash}-hello-2.12.drv/out.doi`
  const cache = await serve(t, (_, response) => response.end('the body'))
  const trace = must(parseDrvOutputFile(file))
  t.equal(String(await upstreamAt(t, cache.url).realisation(trace, patient)), 'the body')
  t.equal(cache.requests[0]?.url, `/${file}`)
})

t.test('a request that is never answered times out', async (t) => {
  const hole = await serve(t, () => undefined)
  const upstream = upstreamAt(t, hole.url, { headersMs: 30 })
  const codes = await Promise.all(asks.map(([, , ask]) => codeOf(ask(upstream))))
  t.strictSame(
    codes,
    asks.map(() => 'timeout'),
  )
})

t.test('a body that stalls times out', async (t) => {
  const cache = await serve(t, (_, response) => {
    response.writeHead(200, { 'content-length': '100' })
    response.write('ten bytes!')
  })
  const upstream = upstreamAt(t, cache.url, { idleMs: 30 })
  const codes = await Promise.all(asks.map(([, , ask]) => codeOf(ask(upstream))))
  t.strictSame(
    codes,
    asks.map(() => 'timeout'),
  )
})

t.test('each request says who asks, and wants no encoding but for build logs', async (t) => {
  const cache = await serve(t, (_, response) => response.end())
  const upstream = upstreamAt(t, cache.url)
  for (const [, , ask] of asks) await ask(upstream)
  t.strictSame(
    cache.requests.map(({ headers }) => headers['accept-encoding']),
    ['identity', 'identity', 'identity', 'identity', 'br, gzip, identity'],
  )
  for (const { headers } of cache.requests) {
    t.equal(headers['user-agent'], 'weir/test')
    t.equal(headers.host, `127.0.0.1:${cache.port}`)
    t.equal(headers.authorization, undefined)
    t.equal(headers.cookie, undefined)
  }
})

t.test('an answer up to its bound is read, and one byte more is too large', async (t) => {
  const bounds: readonly (readonly [number, (upstream: Upstream) => Promise<Uint8Array | null>])[] =
    [
      [maxNarinfoBytes, (upstream) => upstream.narinfo(hash, patient)],
      [64 * 1024, (upstream) => upstream.cacheInfo(patient)],
      [64 * 1024, (upstream) => upstream.realisation(output, patient)],
    ]
  for (const [bytes, ask] of bounds) {
    const exact = await serve(t, (_, response) => response.end(Buffer.alloc(bytes)))
    t.equal((await ask(upstreamAt(t, exact.url)))?.length, bytes)
    const above = await serve(t, (_, response) => response.end(Buffer.alloc(bytes + 1)))
    t.equal(await codeOf(ask(upstreamAt(t, above.url))), 'too-large')
  }
})

t.test('an endless narinfo is left, and so is its connection', async (t) => {
  const left = Promise.withResolvers<undefined>()
  const cache = await serve(t, (_, response) => {
    response.on('close', () => {
      left.resolve(undefined)
    })
    pour(response)
  })
  t.equal(await codeOf(upstreamAt(t, cache.url).narinfo(hash, patient)), 'too-large')
  await left.promise
})

t.test('headers without end are too large', async (t) => {
  const cache = await serve(t, (_, response) => {
    response.writeHead(200, { 'x-long': 'x'.repeat(200 * 1024) }).end()
  })
  t.equal(await codeOf(upstreamAt(t, cache.url).narinfo(hash, patient)), 'too-large')
})

t.test('what is no build log is refused with a Content-Encoding', async (t) => {
  for (const encoding of ['br', 'gzip', 'zstd', 'GZIP', 'deflate', 'xz', 'gzip, br']) {
    const cache = await serve(t, (_, response) => {
      response.writeHead(200, { 'content-encoding': encoding }).end(gzipSync('the body'))
    })
    const upstream = upstreamAt(t, cache.url)
    for (const [, , ask] of asks.slice(0, 4)) {
      t.equal(await codeOf(ask(upstream)), 'unexpected-encoding', encoding)
    }
  }
})

t.test('the Content-Encoding identity is none', async (t) => {
  for (const encoding of ['identity', 'Identity', '']) {
    const cache = await serve(t, (_, response) => {
      response.writeHead(200, { 'content-encoding': encoding }).end('the body')
    })
    const upstream = upstreamAt(t, cache.url)
    for (const [, , ask] of asks) t.equal(String(await ask(upstream)), 'the body')
  }
})

t.test('a build log comes out decoded', async (t) => {
  const log = 'building…\n'.repeat(10_000)
  const bodies: readonly (readonly [string, Uint8Array])[] = [
    ['br', brotliCompressSync(log)],
    ['gzip', gzipSync(log)],
    ['zstd', zstdCompressSync(log)],
    ['GZIP', gzipSync(log)],
    ['identity', Buffer.from(log)],
  ]
  for (const [encoding, body] of bodies) {
    const cache = await serve(t, (_, response) => {
      response.writeHead(200, { 'content-encoding': encoding }).end(body)
    })
    t.equal(await textOf(await upstreamAt(t, cache.url).buildLog('x.drv', patient)), log, encoding)
  }
})

t.test('a build log that is damaged, cut or in an unknown encoding is an error', async (t) => {
  const whole = gzipSync('building…\n'.repeat(10_000))
  const flipped = Buffer.from(whole)
  flipped[20] = (flipped[20] ?? 0) ^ 0xff
  const bodies: readonly (readonly [string, Uint8Array])[] = [
    ['gzip', flipped],
    ['gzip', whole.subarray(0, -20)],
    ['br', Buffer.from('not brotli at all')],
  ]
  for (const [encoding, body] of bodies) {
    const cache = await serve(t, (_, response) => {
      response.writeHead(200, { 'content-encoding': encoding }).end(body)
    })
    const code = await codeOf(upstreamAt(t, cache.url).buildLog('x.drv', patient).then(textOf))
    t.not(code, 'no error', encoding)
  }
  const unknown = await serve(t, (_, response) => {
    response.writeHead(200, { 'content-encoding': 'compress' }).end('x')
  })
  const code = await codeOf(upstreamAt(t, unknown.url).buildLog('x.drv', patient).then(textOf))
  t.equal(code, 'unexpected-encoding')
})

/* Deadlines and callers who leave. */

t.test('a deadline that passes is a timeout, before the answer or within it', async (t) => {
  const cache = await serve(t, (request, response) => {
    if (request.url?.startsWith('/slow/') === true) response.write('x')
  })
  const before = upstreamAt(t, cache.url).narinfo(hash, AbortSignal.timeout(30))
  const within = upstreamAt(t, `${cache.url}/slow`).narinfo(hash, AbortSignal.timeout(30))
  t.strictSame(await Promise.all([codeOf(before), codeOf(within)]), ['timeout', 'timeout'])
})

t.test('whoever aborts a request gets their own reason', async (t) => {
  const leaving = new AbortController()
  const reason = new Error('the client left')
  const cache = await serve(t, () => {
    leaving.abort(reason)
  })
  t.equal(await codeOf(upstreamAt(t, cache.url).narinfo(hash, leaving.signal)), reason)
})

t.test('whoever aborts a body gets their own reason', async (t) => {
  const leaving = new AbortController()
  const reason = new Error('the client left')
  const cache = await serve(t, (_, response) => response.write('x'))
  const body = await upstreamAt(t, cache.url).nar('nar/x', leaving.signal)
  const reading = codeOf(textOf(body))
  leaving.abort(reason)
  t.equal(await reading, reason)
})

t.test('a request that waits for a connection can be aborted too', async (t) => {
  const arrived = Promise.withResolvers<undefined>()
  const cache = await serve(t, () => {
    arrived.resolve(undefined)
  })
  const upstream = upstreamAt(t, cache.url, { maxConnections: 1, headersMs: 1000 })
  let isHeld = true
  const held = codeOf(upstream.narinfo(hash, patient)).then(() => {
    isHeld = false
  })
  await arrived.promise
  const leaving = new AbortController()
  const reason = new Error('the client left')
  const waiting = codeOf(upstream.narinfo(hash, leaving.signal))
  leaving.abort(reason)
  t.equal(await waiting, reason)
  t.ok(isHeld, 'while the connection is still taken')
  await held
})

t.test('a body that is left early closes its connection', async (t) => {
  const left = Promise.withResolvers<undefined>()
  const cache = await serve(t, (_, response) => {
    response.on('close', () => {
      left.resolve(undefined)
    })
    pour(response)
  })
  const body = await upstreamAt(t, cache.url).nar('nar/x', patient)
  for await (const chunk of body ?? []) {
    t.ok(chunk.length > 0)
    break
  }
  await left.promise
})

const leaks: readonly (readonly [string, Record<string, string>, number, UpstreamErrorCode])[] = [
  ['a redirect without a Location', {}, 302, 'redirect-refused'],
  ['a redirect that is refused', { location: 'file:///etc/passwd' }, 302, 'redirect-refused'],
  ['a status that could not tell', {}, 500, 'status'],
  ['an unexpected encoding', { 'content-encoding': 'compress' }, 200, 'unexpected-encoding'],
]
for (const [what, headers, status, expected] of leaks) {
  t.test(`the endless body of ${what} does not keep its connection`, async (t) => {
    const cache = await serve(t, (request, response) => {
      if (request.url === '/nix-cache-info') {
        response.end('StoreDir: /nix/store\n')
      } else {
        response.writeHead(status, headers)
        pour(response)
      }
    })
    const upstream = upstreamAt(t, cache.url, { maxConnections: 1 })
    for (const [name, , ask] of asks.slice(1)) {
      t.equal(await codeOf(ask(upstream)), expected, name)
      const next = upstream.cacheInfo(patient)
      const settled = await Promise.race([next, expired()])
      t.not(settled, 'expired', `after ${name}, the next request gets the connection`)
      if (settled === 'expired') break
    }
  })
}

/** A bound for what should happen at once: it only ever passes where a test fails. */
async function expired(): Promise<'expired'> {
  await once(AbortSignal.timeout(3000), 'abort')
  return 'expired'
}

/* Redirects. */

t.test('a private upstream may redirect to another host and port', async (t) => {
  const target = await serve(t, (_, response) => response.end('from there'))
  for (const status of [301, 302, 303, 307, 308]) {
    const cache = await serve(t, (_, response) => {
      response.writeHead(status, { location: `http://localhost:${target.port}/there?x=1` }).end()
    })
    const upstream = upstreamAt(t, cache.url, {
      lookup: (_, __, callback) => {
        callback(null, [{ address: '127.0.0.1', family: 4 }])
      },
    })
    t.equal(await textOf(await upstream.nar('nar/x', patient)), 'from there')
    t.equal(target.requests.at(-1)?.url, '/there?x=1')
    t.equal(target.requests.at(-1)?.headers.host, `localhost:${target.port}`)
  }
})

t.test('a relative redirect is relative to where it came from', async (t) => {
  const cache = await serve(t, (request, response) => {
    if (request.url === '/base/nar/x') response.writeHead(302, { location: '../y?z' }).end()
    else response.end(request.url)
  })
  const upstream = upstreamAt(t, `${cache.url}/base`)
  t.equal(await textOf(await upstream.nar('nar/x', patient)), '/base/y?z')
})

t.test('a redirect to what is not there is absent', async (t) => {
  const cache = await serve(t, (request, response) => {
    if (request.url === '/nowhere') response.writeHead(404).end()
    else response.writeHead(302, { location: '/nowhere' }).end()
  })
  t.equal(await upstreamAt(t, cache.url).narinfo(hash, patient), null)
})

t.test('five redirects are followed, and six are not', async (t) => {
  const cache = await serve(t, (request, response) => {
    const left = Number(/^\/nar\/(\d)$/.exec(request.url ?? '')?.[1])
    if (left === 0) response.end('arrived')
    else response.writeHead(302, { location: `/nar/${left - 1}` }).end()
  })
  const upstream = upstreamAt(t, cache.url)
  t.equal(await textOf(await upstream.nar('nar/5', patient)), 'arrived')
  t.equal(await codeOf(upstream.nar('nar/6', patient)), 'redirect-refused')
})

t.test('a loop of redirects ends', async (t) => {
  const cache = await serve(t, (request, response) => {
    response.writeHead(307, { location: request.url ?? '' }).end()
  })
  t.equal(await codeOf(upstreamAt(t, cache.url).narinfo(hash, patient)), 'redirect-refused')
  t.equal(cache.requests.length, 6)
})

t.test('a redirect to another scheme, with credentials or to nowhere is refused', async (t) => {
  const target = await serve(t, (_, response) => response.end('from there'))
  const locations: readonly (string | null)[] = [
    'file:///etc/passwd',
    'ftp://127.0.0.1/x',
    'data:,x',
    'javascript:x',
    `http://user:secret@127.0.0.1:${target.port}/x`,
    `http://user@127.0.0.1:${target.port}/x`,
    'http://',
    'http://[::1',
    null,
  ]
  for (const location of locations) {
    const cache = await serve(t, (_, response) => {
      response.writeHead(302, location === null ? {} : { location }).end()
    })
    const code = await codeOf(upstreamAt(t, cache.url).nar('nar/x', patient))
    t.equal(code, 'redirect-refused', location ?? 'no Location')
  }
  t.equal(target.connections(), 0)
})

t.test('a redirect never leads from https to http', async (t) => {
  const from = new URL('https://cache.example.org/nar/x')
  const refused = { name: 'UpstreamError', code: 'redirect-refused' }
  for (const location of ['http://cache.example.org/nar/x', 'HTTP://other.example/', 'http:x']) {
    t.throws(() => resolveRedirect(from, location), refused, location)
  }
  t.equal(resolveRedirect(from, '//other.example/y').href, 'https://other.example/y')
  const plain = new URL('http://cache.example.org/nar/x')
  t.equal(resolveRedirect(plain, 'https://other.example/').href, 'https://other.example/')
})

/* Where names lead. */

const publicName = 'cache.example.com'

/** A resolver that answers from a list, one entry a question and the last one for ever, and counts. */
function resolver(...answers: readonly (readonly { address: string; family: number }[])[]) {
  const asked: string[] = []
  const lookup: Lookup = (hostname, _, callback) => {
    const answer = answers[Math.min(asked.length, answers.length - 1)] ?? []
    asked.push(hostname)
    callback(null, [...answer])
  }
  return { lookup, asked }
}

const loopback = { address: '127.0.0.1', family: 4 }
/* A public address in a family that cannot hold it: connecting fails here, without a packet. */
const unreachable = { address: '2606:4700::1', family: 4 }

t.test('a public name that leads to a private address is refused before connecting', async (t) => {
  const cache = await serve(t, (_, response) => response.end('private'))
  const { lookup } = resolver([loopback])
  for (const [name, , ask] of asks) {
    const upstream = upstreamAt(t, `http://${publicName}:${cache.port}`, { lookup })
    t.equal(await codeOf(ask(upstream)), 'address-refused', name)
  }
  t.equal(cache.connections(), 0)
})

t.test('a public name that leads to a private address is allowed by redirect_hosts', async (t) => {
  const cache = await serve(t, (_, response) => response.end('meant'))
  const { lookup } = resolver([loopback])
  for (const name of [publicName, `${publicName}:${cache.port}`]) {
    const upstream = upstreamAt(t, `http://${publicName}:${cache.port}`, {
      lookup,
      redirectHosts: [name],
    })
    t.equal(await textOf(await upstream.nar('nar/x', patient)), 'meant')
  }
  const upstream = upstreamAt(t, `http://${publicName}:${cache.port}`, {
    lookup,
    redirectHosts: [`${publicName}:1`, 'example.com', `x.${publicName}`],
  })
  t.equal(await codeOf(upstream.nar('nar/x', patient)), 'address-refused')
})

t.test('a public name that is private at the second connection is refused then', async (t) => {
  const cache = await serve(t, (_, response) => response.end('private'))
  const { lookup, asked } = resolver([unreachable], [loopback])
  const upstream = upstreamAt(t, `http://${publicName}:${cache.port}`, { lookup })
  t.not(await codeOf(upstream.narinfo(hash, patient)), 'address-refused')
  t.equal(await codeOf(upstream.narinfo(hash, patient)), 'address-refused')
  t.strictSame(asked, [publicName, publicName])
  t.equal(cache.connections(), 0)
})

t.test('a name that leads to a dead address first is reached at the next one', async (t) => {
  const cache = await serve(t, (_, response) => response.end('reached'))
  const dead = { address: '::1', family: 6 }
  const { lookup, asked } = resolver([dead, loopback])
  const upstream = upstreamAt(t, `http://cache.test:${cache.port}`, { lookup })
  t.equal(String(await upstream.narinfo(hash, patient)), 'reached')
  t.strictSame(asked, ['cache.test'])
})

t.test('a name that leads elsewhere by now is asked for anew after a failure', async (t) => {
  const cache = await serve(t, (_, response) => response.end('moved'))
  const dead = { address: '127.0.0.2', family: 4 }
  const { lookup, asked } = resolver([dead], [loopback])
  const upstream = upstreamAt(t, `http://cache.test:${cache.port}`, { lookup })
  t.equal(await codeOf(upstream.narinfo(hash, patient)), 'connect')
  t.equal(String(await upstream.narinfo(hash, patient)), 'moved')
  t.equal(asked.length, 2)
})

t.test('of several addresses only the public ones are tried', async (t) => {
  const cache = await serve(t, (_, response) => response.end('private'))
  for (const answer of [
    [unreachable, loopback],
    [loopback, unreachable],
  ]) {
    const { lookup } = resolver(answer)
    const upstream = upstreamAt(t, `http://${publicName}:${cache.port}`, { lookup })
    t.not(await codeOf(upstream.narinfo(hash, patient)), 'no error')
  }
  t.equal(cache.connections(), 0)
})

t.test('a name that leads nowhere is no answer', async (t) => {
  const { lookup } = resolver([])
  const nowhere = upstreamAt(t, `http://${publicName}`, { lookup })
  t.equal(await codeOf(nowhere.narinfo(hash, patient)), 'address-refused')
  const failing: Lookup = (_, __, callback) => {
    callback(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' }), [])
  }
  const unknown = upstreamAt(t, `http://${publicName}`, { lookup: failing })
  t.equal(await codeOf(unknown.narinfo(hash, patient)), 'connect')
})

t.test('a public upstream never redirects to a private address', async (t) => {
  const target = await serve(t, (_, response) => response.end('private'))
  const { port } = target
  const { lookup } = resolver([loopback])
  const hosts = [
    '127.0.0.1',
    '[::1]',
    '[::ffff:127.0.0.1]',
    '2130706433',
    '0x7f.1',
    '0.0.0.0',
    'localhost',
    'other.example.com',
    publicName,
  ]
  for (const host of hosts) {
    const cache = await serve(t, (_, response) => {
      response.writeHead(302, { location: `http://${host}:${port}/secret` }).end()
    })
    // The public upstream is played by a server on loopback, which only redirect_hosts makes reachable.
    const redirectHosts = [`${publicName}:${cache.port}`]
    const url = `http://${publicName}:${cache.port}`
    const upstream = upstreamAt(t, url, { lookup, redirectHosts })
    t.equal(await codeOf(upstream.narinfo(hash, patient)), 'address-refused', host)
    t.equal(cache.requests.length, 1)
    t.equal(target.connections(), 0)
  }
})

t.test('a public upstream redirects to the private addresses that are named', async (t) => {
  const target = await serve(t, (_, response) => response.end('meant'))
  const { lookup } = resolver([loopback])
  const cache = await serve(t, (_, response) => {
    response.writeHead(302, { location: `http://127.0.0.1:${target.port}/x` }).end()
  })
  const upstream = upstreamAt(t, `http://${publicName}:${cache.port}`, {
    lookup,
    redirectHosts: [publicName, `127.0.0.1:${target.port}`],
  })
  t.equal(String(await upstream.narinfo(hash, patient)), 'meant')
})

t.test('an upstream whose own address is private needs no permission', async (t) => {
  const cache = await serve(t, (_, response) => response.end('meant'))
  const { lookup } = resolver([loopback])
  for (const host of ['127.0.0.1', 'localhost', 'nas', 'nas.lan', 'cache.internal']) {
    const upstream = upstreamAt(t, `http://${host}:${cache.port}`, { lookup })
    t.equal(String(await upstream.narinfo(hash, patient)), 'meant', host)
  }
})

t.test("a narinfo's URL on another host is refused without a request", async (t) => {
  const cache = await serve(t, (_, response) => response.end())
  const other = await serve(t, (_, response) => response.end('from there'))
  const upstream = upstreamAt(t, cache.url)
  for (const url of [
    `${other.url}/x`,
    `//127.0.0.1:${other.port}/x`,
    '../x',
    'file:///etc/passwd',
  ]) {
    t.equal(await codeOf(upstream.nar(url, patient)), 'url-refused', url)
  }
  t.equal(cache.connections() + other.connections(), 0)
  const named = upstreamAt(t, cache.url, { redirectHosts: [`127.0.0.1:${other.port}`] })
  t.equal(await textOf(await named.nar(`${other.url}/x`, patient)), 'from there')
})

/* URLs, without a network. */

const top = 'https://cache.example.org/'
const base = 'https://cache.example.org/base/'
const cdn = ['cdn.example.net', 'files.example.net:8443']

type UrlRow = readonly [url: string, root: string, expected: string | null]

const narUrls: readonly UrlRow[] = [
  ['nar/x.nar.xz', top, `${top}nar/x.nar.xz`],
  ['nar/x.nar.xz', base, `${base}nar/x.nar.xz`],
  ['nar/x?sig=a/../b&c=%2e%2e', base, `${base}nar/x?sig=a/../b&c=%2e%2e`],
  ['nar/x..y', top, `${top}nar/x..y`],
  ['nar/...', top, `${top}nar/...`],
  ['/nar/x', top, `${top}nar/x`],
  ['/nar/x', base, null],
  ['/base/nar/x', base, `${base}nar/x`],
  ['/base2/x', base, null],
  ['https://cache.example.org/nar/x', top, `${top}nar/x`],
  ['https://cache.example.org:443/nar/x', top, `${top}nar/x`],
  ['HTTPS://CACHE.example.org/nar/x', top, `${top}nar/x`],
  ['https://cache.example.org/nar/x', base, null],
  ['https://cache.example.org:8443/nar/x', top, null],
  ['http://cache.example.org/nar/x', top, null],
  ['https://cache.example.org.evil.example/x', top, null],
  ['https://cache.example.org@evil.example/x', top, null],
  ['https://user:secret@cache.example.org/nar/x', top, null],
  ['//other.example/x', top, null],
  [' //other.example/x', top, null],
  ['https:///other.example/x', top, null],
  ['https:\\\\other.example\\x', top, null],
  ['https://other.example/x', top, null],
  ['nar/x#part', top, null],
  ['file:///etc/passwd', top, null],
  ['ftp://cache.example.org/x', top, null],
  ['data:,x', top, null],
  ['http://[::1', top, null],
  ['..', top, null],
  ['../x', top, null],
  ['nar/../x', top, null],
  ['nar/../../x', base, null],
  ['/base/../x', base, null],
  ['nar/..', top, null],
  ['%2e%2e/x', base, null],
  ['%2E%2e/x', base, null],
  ['.%2E/x', base, null],
  ['..%2fx', base, null],
  ['..%5Cx', base, null],
  ['..\\x', base, null],
  ['nar\\..\\..\\x', base, null],
  ['https://cache.example.org/base/../x', base, null],
]
for (const [url, root, expected] of narUrls) {
  t.test(`the URL ${url} below ${root} is ${expected ?? 'refused'}`, async (t) => {
    const resolve = () => resolveNarUrl(new URL(root), url, []).href
    if (expected === null) t.throws(resolve, { name: 'UpstreamError', code: 'url-refused' })
    else t.equal(resolve(), expected)
  })
}

const namedUrls: readonly UrlRow[] = [
  ['https://cdn.example.net/x', top, 'https://cdn.example.net/x'],
  ['https://CDN.example.net:444/x?y', base, 'https://cdn.example.net:444/x?y'],
  ['//cdn.example.net/x', top, 'https://cdn.example.net/x'],
  ['https://files.example.net:8443/x', top, 'https://files.example.net:8443/x'],
  ['https://files.example.net/x', top, null],
  ['https://x.cdn.example.net/x', top, null],
  ['http://cdn.example.net/x', top, null],
  ['http://cdn.example.net/x', 'http://cache.example.org/', 'http://cdn.example.net/x'],
  ['https://user@cdn.example.net/x', top, null],
  ['https://cdn.example.net/../x', top, null],
  ['nar/../x', top, null],
]
for (const [url, root, expected] of namedUrls) {
  t.test(`with named hosts, ${url} below ${root} is ${expected ?? 'refused'}`, async (t) => {
    const resolve = () => resolveNarUrl(new URL(root), url, cdn).href
    if (expected === null) t.throws(resolve, { name: 'UpstreamError', code: 'url-refused' })
    else t.equal(resolve(), expected)
  })
}

t.test('a host is named with its port or for all ports', async (t) => {
  const names = (host: string, url: string) => namesHost([host], new URL(url))
  t.ok(names('a.example:80', 'http://a.example/'))
  t.ok(names('a.example:443', 'https://a.example/'))
  t.ok(names('a.example', 'https://a.example:8443/'))
  t.ok(names('[::1]:8080', 'http://[::1]:8080/'))
  t.notOk(names('a.example:80', 'https://a.example/'))
  t.notOk(names('a.example:443', 'http://a.example/'))
  t.notOk(names('a.example', 'http://b.a.example/'))
})

t.test('a refused address is told without the password in it', async (t) => {
  for (const refuse of [
    () => resolveNarUrl(new URL('https://a.example/'), 'https://user:secret@b.example/x', []),
    () => resolveRedirect(new URL('https://a.example/'), 'https://user:secret@b.example/x'),
  ]) {
    t.throws(refuse, { message: /"https:\/\/…@b\.example\/x"/ })
  }
  // A signed address is as good as a password.
  const signed = 'ftp://b.example/x?X-Amz-Signature=secret'
  t.throws(() => resolveRedirect(new URL('https://a.example/'), signed), {
    message: /"ftp:\/\/b\.example\/x\?…"/,
  })
})

t.test("no narinfo's URL leaves the cache's folder", async () => {
  const piece = fc.constantFrom(
    ...['..', '.', '/', '//', '\\', '%2e', '%2E', '%2f', '%5c', '%252e', 'nar', 'x', ':', '@', '?'],
    ...[
      '#',
      'https:',
      'http:',
      'cache.example.org',
      'other.example',
      '\t',
      ' ',
      '\u3002',
      ';',
      'base',
    ],
  )
  fc.assert(
    fc.property(fc.array(piece, { minLength: 1, maxLength: 8 }), (pieces) => {
      try {
        const url = resolveNarUrl(new URL(base), pieces.join(''), [])
        ok(url.href.startsWith(base), url.href)
        ok(!/(?:^|\/)(?:\.|%2e){2}(?:\/|$)/i.test(url.pathname), url.href)
      } catch (error) {
        equal(error instanceof UpstreamError && error.code, 'url-refused')
      }
    }),
    { seed, numRuns: 3000 },
  )
})

t.test('only global unicast addresses are public', async (t) => {
  const reaches = {
    public: ['1.1.1.1', '8.8.8.8', '151.101.1.91', '172.15.255.255', '172.32.0.0', '100.128.0.0'],
    publicV6: ['2606:4700::1', '2a04:4e42::347', '::ffff:8.8.8.8'],
    rfc1918: ['10.0.0.1', '10.255.255.255', '172.16.0.1', '172.31.255.255', '192.168.1.1'],
    loopback: ['127.0.0.1', '127.255.255.254', '::1'],
    linkLocal: ['169.254.169.254', 'fe80::1', 'febf::1'],
    sharedByCarriers: ['100.64.0.1', '100.127.255.255'],
    uniqueLocal: ['fc00::1', 'fd12:3456::1', 'fec0::1'],
    mapped: ['::ffff:127.0.0.1', '::ffff:10.0.0.1', '::ffff:a9fe:a9fe', '::ffff:0:127.0.0.1'],
    translated: ['64:ff9b::7f00:1', '64:ff9b::8.8.8.8', '64:ff9b:1::7f00:1'],
    sixToFour: ['2002:7f00:1::', '2002:a00:1::1', '2001::1'],
    multicast: ['224.0.0.1', '239.255.255.250', 'ff02::1'],
    nowhere: ['0.0.0.0', '0.1.2.3', '::', '255.255.255.255', '240.0.0.1', '100::1'],
    documentation: ['192.0.2.1', '198.51.100.1', '203.0.113.1', '2001:db8::1', '198.18.0.1'],
    noAddress: ['', 'localhost', '1.2.3.4.5', '[::1]', 'cache.nixos.org'],
  }
  for (const [kind, addresses] of Object.entries(reaches)) {
    for (const address of addresses) {
      t.equal(reachOfAddress(address), kind.startsWith('public') ? 'public' : 'private', address)
    }
  }
})

t.test('an IPv4-compatible address (::/96) is private', async (t) => {
  t.equal(reachOfAddress('::127.0.0.1'), 'private')
  t.equal(reachOfAddress('::10.0.0.1'), 'private')
})

t.test('a host is public unless it says that it is not', async (t) => {
  const hosts = {
    public: [
      'cache.nixos.org',
      'cache.nixos.org.',
      'a.b',
      'local.example.com',
      'mylan.org',
      '1.1.1.1',
    ],
    publicV6: ['[2606:4700::1]'],
    private: [
      'localhost',
      'localhost.',
      'nas',
      'NAS',
      'a.localhost',
      'nas.local',
      'NAS.LAN',
      'x.lan.',
    ],
    reserved: ['a.internal', 'a.home.arpa', 'a.test', 'x.y.internal'],
    addresses: ['127.0.0.1', '10.1.2.3', '[::1]', '[fd00::1]', '[::ffff:10.0.0.1]', '0.0.0.0'],
  }
  for (const [kind, names] of Object.entries(hosts)) {
    for (const name of names) {
      t.equal(reachOfHost(name), kind.startsWith('public') ? 'public' : 'private', name)
    }
  }
})
