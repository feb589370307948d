import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { chmodSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import {
  createServer,
  type IncomingHttpHeaders,
  type RequestListener,
  type Server,
} from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { TlsOptions } from 'node:tls'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { type Upstream, UpstreamError } from '../../src/ports/upstream.ts'
import { createBreakingUpstream } from '../../src/upstream/steady/breaking-upstream.ts'
import { createCredentials } from '../../src/upstream/credentials/credentials.ts'
import { isBelow } from '../../src/upstream/credentials/credential-scope.ts'
import type { HttpWorld } from '../../src/upstream/http/http-client.ts'
import { createHttpUpstream } from '../../src/upstream/http/http-upstream.ts'
import type { Lookup } from '../../src/upstream/http/guarded-connector.ts'
import { findInNetrc, parseNetrc } from '../../src/upstream/credentials/netrc.ts'
import { openUpstream } from '../../src/upstream/open-upstream.ts'
import { createProxyFor } from '../../src/upstream/http/proxy.ts'
import { tlsFailure } from '../../src/upstream/http/tls-failure.ts'
import type { UpstreamOptions } from '../../src/upstream/upstream-options.ts'
import { createCircuit } from '../../src/upstream/steady/circuit.ts'
import { createManualSchedule } from '../fakes/manual-schedule.ts'
import { createFixedClock } from '../fakes/fixed-clock.ts'
import { createSilentLog } from '../fakes/silent-log.ts'
import { plainUpstream } from '../fakes/upstream-options.ts'
import { workFolder } from '../fakes/work-folder.ts'
import { type Certificate, hasOpenssl, makeAuthority, makeSelfSigned } from '../lab/certificates.ts'
import { startProxy } from '../lab/proxy-server.ts'
import { pathHash } from '../nix/fixtures.ts'

const hash = pathHash('05fkk8iijk1kq5cpqwnfcnh5yks8nj4m')
const patient = new AbortController().signal
const none = plainUpstream({ url: 'https://cache.example.org' }).credentials
const token = 'tok-geheim-1'
const shownToken = `Bearer ${token}`
const basicOf = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`

/** A cache on loopback, and what came to it. */
type Cache = {
  readonly url: string
  readonly port: number
  readonly requests: { readonly url: string; readonly headers: IncomingHttpHeaders }[]
}

async function serve(t: Test, handler: RequestListener, tls?: TlsOptions): Promise<Cache> {
  const requests: Cache['requests'] = []
  const listener: RequestListener = (request, response) => {
    requests.push({ url: request.url ?? '', headers: request.headers })
    handler(request, response)
  }
  const server: Server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener)
  server.listen({ host: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`, port, requests }
}

function upstreamAt(
  t: Test,
  url: string,
  changes: Partial<UpstreamOptions> = {},
  world: Partial<HttpWorld> = { env: {} },
): Upstream {
  const upstream = createHttpUpstream(plainUpstream({ url, ...changes }), world)
  t.teardown(() => void upstream.close())
  return upstream
}

/** How asking ends: the text that came, or the error. */
async function outcome(upstream: Upstream): Promise<string | UpstreamError> {
  try {
    return String(await upstream.narinfo(hash, patient))
  } catch (error) {
    if (error instanceof UpstreamError) return error
    throw error
  }
}

async function mustFail(upstream: Upstream): Promise<UpstreamError> {
  const ended = await outcome(upstream)
  if (typeof ended === 'string') throw new Error(`it answered: ${ended}`)
  return ended
}

const seen = ({ requests }: Cache) => requests.map(({ headers }) => headers.authorization ?? null)

/** A folder with the token in it. */
function tokenFile(t: Test, text = `${token}\n`): string {
  const file = join(workFolder(t), 'token')
  writeFileSync(file, text)
  return file
}

/* netrc */

t.test('a netrc is read as curl reads it', async (t) => {
  const text = [
    '# a comment',
    'machine a.example login ada password geheim # and another',
    'machine B.example',
    '  login "two words"',
    '  password "a \\"quoted\\" \\\\ one\\n"',
    'macdef init',
    'machine lost.example password x',
    '',
    'machine c.example password only-a-token account x',
    'machine 127.0.0.1 login v4',
    'machine ::1 login v6',
    'default login anonymous password user@site',
    'machine late.example login never',
  ].join('\r\n')
  const reading = parseNetrc(text)
  if (reading.kind === 'mistake') throw new Error(reading.what)
  const find = (host: string) => {
    const entry = findInNetrc(reading.entries, host)
    return entry && [entry.login, entry.password]
  }
  t.strictSame(find('a.example'), ['ada', 'geheim'])
  t.strictSame(find('b.example'), ['two words', 'a "quoted" \\ one\n'])
  t.strictSame(find('c.example'), ['', 'only-a-token'], 'as cachix writes it')
  t.strictSame(find('c.example.'), ['', 'only-a-token'])
  t.strictSame(find('127.0.0.1'), ['v4', ''])
  t.strictSame(find('[::1]'), ['v6', ''])
  for (const host of ['lost.example', 'late.example', 'x.a.example', 'example']) {
    t.strictSame(find(host), ['anonymous', 'user@site'], host)
  }
  t.equal(findInNetrc([], 'a.example'), null)
})

t.test('what is no netrc is told by its line, and by none of its words', async (t) => {
  const cases = [
    ['machine a.example\npassword two geheim', 2, /a word that is none of machine/],
    ['machine a.example login x password', 1, /password without its value/],
    ['machine a.example password #geheim', 1, /begins with # needs quotes/],
    ['\n\nlogin geheim', 3, /login before any machine/],
    ['machine a.example password "geheim', 1, /a quote that does not end/],
    ['machine a.example password "geheim"x', 1, /a quote that does not end/],
    ['geheim', 1, /a word/],
  ] as const
  for (const [text, line, what] of cases) {
    const reading = parseNetrc(text)
    t.match(reading, { kind: 'mistake', line, what }, text)
    t.notMatch(JSON.stringify(reading), 'geheim')
  }
})

t.test('no text makes the netrc parser throw, or not end', async () => {
  const word = fc.constantFrom(
    ...['machine', 'default', 'login', 'password', 'macdef', '"', '\\', '#', '\n', ' ', '\t', 'x'],
  )
  fc.assert(
    fc.property(fc.array(word, { maxLength: 30 }), (words) => {
      parseNetrc(words.join(' '))
      parseNetrc(words.join(''))
    }),
    { seed: 20260801, numRuns: 2000 },
  )
})

/* What is shown. */

t.test('credentials are shown as their kinds say, the nearer before the netrc', async (t) => {
  const dir = workFolder(t)
  const file = (name: string, text: string) => {
    writeFileSync(join(dir, name), text)
    return join(dir, name)
  }
  const netrcFile = file('netrc', 'machine 127.0.0.1 login ada password from-netrc')
  const credentials: UpstreamOptions['credentials'] = { ...none, netrcFile }
  const passwordFile = file('password', 'pass: wörd \r\n')
  const cases: readonly (readonly [UpstreamOptions['credentials'], Record<string, string>])[] = [
    [none, {}],
    [credentials, { authorization: basicOf('ada:from-netrc') }],
    [{ ...credentials, tokenFile: tokenFile(t) }, { authorization: shownToken }],
    [{ ...credentials, user: 'bob', passwordFile }, { authorization: basicOf('bob:pass: wörd ') }],
    [
      {
        ...none,
        headers: [
          {
            name: 'x-token',
            parts: [
              { kind: 'text', text: 'a ' },
              { kind: 'file', path: tokenFile(t) },
              { kind: 'env', name: 'PART' },
            ],
          },
          { name: 'x-plain', parts: [{ kind: 'text', text: 'yes' }] },
        ],
      },
      { 'x-token': `a ${token}+b`, 'x-plain': 'yes' },
    ],
  ]
  for (const [given, expected] of cases) {
    const cache = await serve(t, (_, response) => response.end('there'))
    const upstream = upstreamAt(t, cache.url, { credentials: given }, { env: { PART: '+b' } })
    t.equal(await outcome(upstream), 'there')
    const headers = cache.requests[0]?.headers ?? {}
    const shown = ['authorization', 'x-token', 'x-plain'].flatMap((name) =>
      headers[name] === undefined ? [] : [[name, headers[name]]],
    )
    t.strictSame(Object.fromEntries(shown), expected)
  }
})

t.test('the netrc goes by the host of each root', async (t) => {
  const netrcFile = join(workFolder(t), 'netrc')
  writeFileSync(netrcFile, 'machine a.example password a\nmachine b.example password b')
  const credentials = createCredentials(
    { credentials: { ...none, netrcFile } },
    { env: {}, nowMs: () => 0 },
  )
  const shown = async (url: string) => (await credentials.of(new URL(url))).headers['authorization']
  t.equal(await shown('https://a.example/x'), basicOf(':a'))
  t.equal(await shown('https://b.example:8443/x'), basicOf(':b'))
  t.equal(await shown('https://c.example/x'), undefined)
})

t.test('a file is read again when it changed, and looked at once a second', async (t) => {
  const tokens = tokenFile(t)
  let nowMs = 0
  const credentials = createCredentials(
    { credentials: { ...none, tokenFile: tokens } },
    { env: {}, nowMs: () => nowMs },
  )
  const shown = async () => (await credentials.of(new URL('https://a/'))).headers['authorization']
  t.equal(await shown(), shownToken)
  writeFileSync(`${tokens}.new`, 'second')
  renameSync(`${tokens}.new`, tokens)
  nowMs = 999
  t.equal(await shown(), shownToken, 'not looked at yet')
  nowMs = 1000
  t.equal(await shown(), 'Bearer second')
  writeFileSync(tokens, 'third!')
  nowMs = 2000
  t.equal(await shown(), 'Bearer third!')
  writeFileSync(tokens, '')
  nowMs = 3000
  await t.rejects(shown(), { code: 'credentials' })
  writeFileSync(tokens, 'fourth')
  await t.rejects(shown(), { code: 'credentials' })
  nowMs = 4000
  t.equal(await shown(), 'Bearer fourth', 'a file that was mended will do')
})

t.test('a file that is of no use fails the request, and says which and why', async (t) => {
  const dir = workFolder(t)
  mkdirSync(join(dir, 'folder'))
  const files: readonly (readonly [string, string | Buffer | null, RegExp])[] = [
    ['missing', null, /: no such file$/],
    ['folder', null, /: is no file$/],
    ['empty', '', /: is empty$/],
    ['blank', ' \n', /: is empty$/],
    ['lines', 'geheim\ngeheim\n', /: is not one line of text$/],
    ['injection', 'geheim\r\nX-Evil: 1', /: is not one line of text$/],
    ['control', 'geheim\0', /: is not one line of text$/],
    ['binary', Buffer.from([0x67, 0xff, 0xfe]), /: is not one line of text$/],
    ['umlaut', 'gehéim', /: has characters that no header can carry$/],
    ['large', 'geheim'.repeat(200_000), /: has more than 1048576 bytes$/],
  ]
  const cache = await serve(t, (_, response) => response.end('there'))
  for (const [name, content, why] of files) {
    const path = join(dir, name)
    if (content !== null) writeFileSync(path, content)
    const header = { name: 'x-a', parts: [{ kind: 'file', path }] } as const
    for (const [key, given] of [
      ['token_file', { tokenFile: path }],
      ['headers.x-a', { headers: [header] }],
    ] as const) {
      const { code, message } = await mustFail(
        upstreamAt(t, cache.url, { credentials: { ...none, ...given } }),
      )
      t.equal(code, 'credentials')
      t.ok(message.startsWith(`${key} ${path}: `), message)
      t.match(message, why)
      t.notMatch(message, /geh[eé]im/)
    }
  }
  writeFileSync(join(dir, 'netrc'), 'machine x\n password a geheim')
  const netrcFile = join(dir, 'netrc')
  const { message } = await mustFail(
    upstreamAt(t, cache.url, { credentials: { ...none, netrcFile } }),
  )
  t.equal(
    message,
    `netrc_file ${netrcFile}: line 2 has a word that is none of machine, default, login, password, account, macdef`,
  )
  const variable = { name: 'x-a', parts: [{ kind: 'env', name: 'GONE' }] } as const
  const unset = upstreamAt(t, cache.url, { credentials: { ...none, headers: [variable] } })
  t.equal((await mustFail(unset)).message, 'headers.x-a: the variable GONE is not set')
  const evil = { env: { GONE: 'geheim\r\nX-Evil: 1' } }
  const injected = upstreamAt(t, cache.url, { credentials: { ...none, headers: [variable] } }, evil)
  t.equal(
    (await mustFail(injected)).message,
    'headers.x-a: the variable GONE has characters that no header can carry',
  )
  t.equal(cache.requests.length, 0, 'nobody was asked')
  if (process.getuid?.() === 0) return
  chmodSync(netrcFile, 0)
  const locked = upstreamAt(t, cache.url, { credentials: { ...none, netrcFile } })
  t.match((await mustFail(locked)).message, "Weir's user may not read it")
})

t.test('what Weir itself lacks is no outage of the upstream', async (t) => {
  const cache = await serve(t, (_, response) => response.end('there'))
  const path = join(workFolder(t), 'token')
  let nowMs = 0
  const root = upstreamAt(
    t,
    cache.url,
    { credentials: { ...none, tokenFile: path } },
    { env: {}, nowMs: () => nowMs },
  )
  const clock = createFixedClock(0)
  const { schedule } = createManualSchedule(clock)
  const circuit = createCircuit(root, { clock, log: createSilentLog(), schedule, probeMs: 60_000 })
  const upstream = createBreakingUpstream(root, { circuit, clock, isAlone: () => false })
  for (let tries = 0; tries < 10; tries++) {
    t.equal((await mustFail(upstream)).code, 'credentials')
    nowMs += 1000
  }
  writeFileSync(path, token)
  t.equal(await outcome(upstream), 'there')
})

/* Where it is shown. */

t.test('a URL is below a root by its origin and path, in no disguise', async (t) => {
  const root = new URL('https://a.example/cache/')
  const rows: readonly (readonly [string, boolean])[] = [
    ['https://a.example/cache/x', true],
    ['https://a.example:443/cache/nar/x?y', true],
    ['https://a.example/cache/', true],
    ['https://a.example/cache', false],
    ['https://a.example/cache2/x', false],
    ['https://a.example/', false],
    ['http://a.example/cache/x', false],
    ['https://a.example:444/cache/x', false],
    ['https://b.example/cache/x', false],
    ['https://a.example/cache/../x', false],
    ['https://a.example/cache/%2e%2e/x', false],
    ['https://a.example/cache/..%2fx', false],
    ['https://a.example/cache/..%5cx', false],
    ['https://a.example/cache/..;/x', false],
  ]
  for (const [url, expected] of rows) t.equal(isBelow(root, new URL(url)), expected, url)
})

t.test('a redirect takes the token along below the root, and nowhere else', async (t) => {
  const elsewhere = await serve(t, (request, response) => {
    const back = /^\/back\?(.*)$/.exec(request.url ?? '')?.[1]
    if (back === undefined) response.end('elsewhere')
    else response.writeHead(302, { location: back }).end()
  })
  const ways = {
    'below the root': [() => '/cache/inner', [shownToken, shownToken], []],
    'another path': [() => '/other/x', [shownToken, null], []],
    'a sibling': [() => '/cache2/x', [shownToken, null], []],
    'out by dots': [() => '/cache/%2e%2e/x', [shownToken, null], []],
    'another origin': [() => `${elsewhere.url}/cache/x`, [shownToken], [null]],
    'another name': [
      (url: string) => url.replace('127.0.0.1', 'localhost'),
      [shownToken, null],
      [],
    ],
    'there and back': [
      (url: string) => `${elsewhere.url}/back?${url}/cache/inner`,
      [shownToken, null],
      [null],
    ],
  } as const
  const redirectHosts = [`127.0.0.1:${elsewhere.port}`]
  for (const [name, [where, own, others]] of Object.entries(ways)) {
    const cache: Cache = await serve(t, (request, response) => {
      const isFirst = request.url === `/cache/${hash}.narinfo`
      if (isFirst) response.writeHead(307, { location: where(cache.url) }).end()
      else response.end('there')
    })
    elsewhere.requests.length = 0
    const credentials = { ...none, tokenFile: tokenFile(t) }
    const upstream = upstreamAt(t, `${cache.url}/cache`, { credentials, redirectHosts })
    t.type(await outcome(upstream), 'string', name)
    t.strictSame(seen(cache), own, name)
    t.strictSame(seen(elsewhere), others, name)
  }
})

t.test('a mirror elsewhere is not shown the token, wherever the cache leads', async (t) => {
  const mirror = await serve(t, (_, response) => response.end('there'))
  let location = ''
  const cache = await serve(t, (request, response) => {
    if (request.url?.endsWith('.narinfo') === true) response.writeHead(302, { location }).end()
    else response.end('there')
  })
  const upstream = upstreamAt(t, `${cache.url}/cache`, {
    mirrors: [`${mirror.url}/mirror`],
    redirectHosts: [`127.0.0.1:${mirror.port}`],
    credentials: { ...none, tokenFile: tokenFile(t) },
  })
  for (const url of [`${mirror.url}/mirror/nar/x.nar`, `${mirror.url}/other/x.nar`, 'nar/x.nar']) {
    for await (const chunk of (await upstream.nar(url, patient)) ?? []) t.ok(chunk.length > 0)
  }
  location = `${mirror.url}/mirror/led`
  t.equal(await outcome(upstream), 'there')
  t.strictSame(seen(mirror), [null, null, null])
  t.strictSame(seen(cache), [shownToken, shownToken])
})

/** Where every name is this machine's. */
const atLoopback: Lookup = (_name, _options, callback) => {
  callback(null, [{ address: '127.0.0.1', family: 4 }])
}

t.test('a public cache leads to no private mirror', async (t) => {
  const mirror = await serve(t, (_, response) => response.end('inside'))
  const cache = await serve(t, (_, response) => {
    response.writeHead(302, { location: `${mirror.url}/secret` }).end()
  })
  const upstream = upstreamAt(
    t,
    `http://cache.example.org:${cache.port}`,
    { mirrors: [mirror.url], redirectHosts: ['cache.example.org'] },
    { env: {}, lookup: atLoopback },
  )
  t.match(await mustFail(upstream), { code: 'address-refused' })
  t.strictSame(mirror.requests, [])
})

t.test('a NAR elsewhere is fetched without the token', async (t) => {
  const elsewhere = await serve(t, (_, response) => response.end('a NAR'))
  const cache = await serve(t, (_, response) => response.end('a NAR'))
  const upstream = upstreamAt(t, `${cache.url}/cache`, {
    credentials: { ...none, tokenFile: tokenFile(t) },
    redirectHosts: [`127.0.0.1:${elsewhere.port}`],
  })
  for (const url of [`${elsewhere.url}/x.nar`, 'nar/x.nar', `${cache.url}/cache/y.nar`]) {
    for await (const chunk of (await upstream.nar(url, patient)) ?? []) t.ok(chunk.length > 0)
  }
  t.strictSame(seen(elsewhere), [null])
  t.strictSame(seen(cache), [shownToken, shownToken])
})

t.test('who does not accept the credentials never says that an object is not there', async (t) => {
  for (const status of [401, 403, 407]) {
    const cache = await serve(t, (_, response) => response.writeHead(status).end())
    const credentials = { ...none, tokenFile: tokenFile(t) }
    const refused = await mustFail(upstreamAt(t, cache.url, { credentials }))
    t.match(refused, { code: 'status', status })
    t.equal(refused.message, `status ${status}: it does not accept the credentials of token_file`)
  }
  const closed = await serve(t, (_, response) => response.writeHead(401).end())
  const asked = await mustFail(upstreamAt(t, closed.url))
  t.match(asked, { code: 'status', status: 401 })
  t.equal(asked.message, 'status 401: it asks for credentials, and none were for it')
  const forbidden = await serve(t, (_, response) => response.writeHead(403).end())
  t.match(await mustFail(upstreamAt(t, forbidden.url)), { status: 403, message: 'status 403' })
})

t.test('where 403 is to mean absent it does, with credentials too, and 401 does not', async (t) => {
  for (const credentials of [none, { ...none, tokenFile: tokenFile(t) }]) {
    for (const status of [401, 403]) {
      const cache = await serve(t, (_, response) => response.writeHead(status).end())
      const upstream = upstreamAt(t, cache.url, { credentials, absentOn403: true })
      if (status === 403) t.equal(await upstream.narinfo(hash, patient), null)
      else t.match(await mustFail(upstream), { code: 'status', status })
    }
  }
})

/* Proxies. */

t.test('the proxy is chosen as curl chooses it', async (t) => {
  const host = (setting: string, env: Record<string, string>, url: string) =>
    createProxyFor(setting, env)(new URL(url))?.url.host ?? null
  const by = (env: Record<string, string>, url: string) => host('environment', env, url)
  const https = 'https://cache.example.org/'
  const http = 'http://cache.example.org/'
  t.equal(by({}, https), null)
  t.equal(by({ https_proxy: 'http://p:1' }, https), 'p:1')
  t.equal(by({ HTTPS_PROXY: 'http://p:1' }, https), 'p:1')
  t.equal(by({ https_proxy: 'http://p:1', HTTPS_PROXY: 'http://q:1' }, https), 'p:1')
  t.equal(by({ https_proxy: '', HTTPS_PROXY: 'q:1' }, https), 'q:1', 'without a scheme')
  t.equal(by({ https_proxy: 'http://p:1' }, http), null)
  t.equal(by({ http_proxy: 'http://p:1' }, http), 'p:1')
  t.equal(by({ HTTP_PROXY: 'http://p:1' }, http), null, "a web server's header, perhaps")
  t.equal(by({ ALL_PROXY: 'http://p:1' }, http), 'p:1')
  t.equal(by({ all_proxy: 'http://p:1' }, https), 'p:1')
  t.equal(host('none', { https_proxy: 'http://p:1' }, https), null)
  t.equal(host('http://own:1', { https_proxy: 'http://p:1' }, https), 'own:1')
  t.equal(host('http://own:1', {}, http), 'own:1')
  const exempt: readonly (readonly [string, string, boolean])[] = [
    ['*', https, true],
    ['example.org', https, true],
    ['.example.org', https, true],
    ['*.example.org', https, true],
    ['EXAMPLE.org', https, true],
    ['a.b, cache.example.org', https, true],
    ['a.b cache.example.org:443', https, true],
    ['cache.example.org:80', https, false],
    ['cache.example.org:80', http, true],
    ['ample.org', https, false],
    ['x.cache.example.org', https, false],
    ['10.1.2.3', 'http://10.1.2.3:5000/', true],
    ['10.1.2.3:5000', 'http://10.1.2.3:5000/', true],
    ['fd00::1', 'http://[fd00::1]/', true],
    ['[fd00::1]', 'http://[fd00::1]/', true],
    ['', 'http://nas/', false],
    ['', 'http://localhost:1/', true],
    ['', 'http://127.1.2.3/', true],
    ['', 'http://[::1]/', true],
    ['', 'http://10.0.0.1/', false],
  ]
  for (const [noProxy, url, isDirect] of exempt) {
    const env = { all_proxy: 'http://p:1', no_proxy: noProxy }
    t.equal(by(env, url) === null, isDirect, `${noProxy} for ${url}`)
    t.equal(host('http://p:1', { NO_PROXY: noProxy }, url) === null, isDirect, 'whoever named it')
  }
  const withUser = createProxyFor('environment', { https_proxy: 'http://u:p%40ss@p:1' })
  const proxy = withUser(new URL(https))
  t.equal(proxy?.authorization, basicOf('u:p@ss'))
  t.equal(proxy?.url.href, 'http://p:1/')
  for (const value of ['socks5://u:geheim@p:1', 'http://u:geheim@:x']) {
    try {
      by({ all_proxy: value }, https)
      t.fail(value)
    } catch (error) {
      t.match(error, {
        code: 'connect',
        message: 'all_proxy does not hold the URL of an HTTP proxy',
      })
    }
  }
})

t.test(
  'an upstream without TLS is asked for through the proxy, whose credentials are its own',
  async (t) => {
    const cache = await serve(t, (_, response) => response.end('there'))
    const authorization = basicOf('u:geheim')
    await using proxy = await startProxy({ authorization })
    const http_proxy = proxy.url.replace('//', '//u:geheim@')
    const credentials = { ...none, tokenFile: tokenFile(t) }
    const url = `http://cache.test:${cache.port}/cache`
    const upstream = upstreamAt(
      t,
      url,
      { credentials, proxy: 'environment' },
      { env: { http_proxy } },
    )
    t.equal(await outcome(upstream), 'there')
    t.strictSame(
      proxy.requests.map(({ method, target }) => [method, target]),
      [['GET', `${url}/${hash}.narinfo`]],
    )
    t.equal(proxy.requests[0]?.headers['proxy-authorization'], authorization)
    const [request] = cache.requests
    t.equal(request?.headers.host, `cache.test:${cache.port}`)
    t.equal(request?.headers['proxy-authorization'], undefined)
    t.equal(request?.headers.authorization, shownToken)
  },
)

t.test('a 403 that may be the proxy’s own is no absence, whatever 403 is to mean', async (t) => {
  await using proxy = await startProxy({ refuse: 403 })
  const plain = { proxy: proxy.url, absentOn403: true }
  const refused = await mustFail(upstreamAt(t, 'http://cache.test:1', plain))
  t.match(refused, { code: 'status', status: 403, message: /may be the proxy/ })
})

t.test('a proxy that refuses, or is down, is an outage that names it', async (t) => {
  const cache = await serve(t, (_, response) => response.end('there'))
  await using asking = await startProxy({ authorization: 'x' })
  await using refusing = await startProxy({ refuse: 503 })
  const gone = await startProxy()
  await gone[Symbol.asyncDispose]()
  for (const scheme of ['http', 'https']) {
    const url = `${scheme}://cache.test:${cache.port}`
    const ask = ({ url: proxy }: { readonly url: string }) =>
      mustFail(upstreamAt(t, url, { proxy }))
    const needs = await ask(asking)
    t.equal(needs.code, 'connect')
    t.equal(
      needs.message,
      `the proxy 127.0.0.1:${asking.port}: it refuses with status 407: it wants other credentials`,
    )
    const down = await ask(gone)
    t.equal(down.code, 'connect')
    t.match(down.message, `the proxy 127.0.0.1:${gone.port}: connect ECONNREFUSED`)
    const refused = await ask(refusing)
    t.equal(refused.code, scheme === 'http' ? 'status' : 'connect')
    t.match(refused.message, 'status 503')
  }
  t.equal(cache.requests.length, 0)
})

t.test('behind a proxy a public upstream leads to no private host by its name', async (t) => {
  const target = await serve(t, (_, response) => response.end('private'))
  for (const host of ['10.0.0.1', 'nas', 'x.internal', '[fd00::1]', '169.254.169.254']) {
    const cache = await serve(t, (_, response) => {
      response.writeHead(302, { location: `http://${host}:${target.port}/x` }).end()
    })
    await using proxy = await startProxy()
    const url = `http://cache.example.org:${cache.port}`
    const upstream = upstreamAt(t, url, { proxy: proxy.url })
    t.equal((await mustFail(upstream)).code, 'address-refused', host)
    t.equal(proxy.requests.length, 1)
    const redirectHosts = [`${host}:${target.port}`]
    const meant = upstreamAt(t, url, { proxy: proxy.url, redirectHosts })
    t.equal(await outcome(meant), 'private')
  }
})

/* TLS. */

const skip = (await hasOpenssl()) ? false : 'openssl is not installed'
const dir = workFolder(t)

t.test('under TLS', { skip }, async (t) => {
  const authority = await makeAuthority(dir)
  const names = 'DNS:cache.test,DNS:localhost,IP:127.0.0.1'
  const good = await authority.issue('good', { names })
  const client = await authority.issue('client', { names: 'DNS:weir.test' })
  const caFiles = [authority.certFile]
  const tls = { caFiles, certificateFile: null, certificateKeyFile: null }
  const of = ({ cert, key }: Certificate): TlsOptions => ({ cert, key })
  const there: RequestListener = (_, response) => response.end('there')

  t.test('a certificate that is not believed is told by the host and what is wrong', async (t) => {
    const expired = await authority.issue('expired', { names, isExpired: true })
    const foreign = await authority.issue('foreign', { names: 'DNS:other.test' })
    const own = await makeSelfSigned(dir, 'own')
    const cases: readonly (readonly [Certificate, UpstreamOptions['tls'], RegExp])[] = [
      [good, { ...tls, caFiles: [] }, /authority that is not known: .* ca_file/],
      [expired, tls, /has expired/],
      [foreign, tls, /is for another name/],
      [own, tls, /is self-signed: .* ca_file/],
    ]
    for (const [certificate, believed, what] of cases) {
      const cache = await serve(t, there, of(certificate))
      const { code, message } = await mustFail(upstreamAt(t, cache.url, { tls: believed }))
      t.equal(code, 'tls')
      t.match(message, /^the certificate of 127\.0\.0\.1 /)
      t.match(message, what)
      t.equal(cache.requests.length, 0)
    }
    const plain = await serve(t, there)
    const spoken = await mustFail(upstreamAt(t, plain.url.replace('http', 'https'), { tls }))
    t.match(spoken, { code: 'tls', message: /^no TLS with 127\.0\.0\.1/ })
  })

  t.test('authorities come from ca_file, or from where Nix has them', async (t) => {
    const cache = await serve(t, there, of(good))
    t.equal(await outcome(upstreamAt(t, cache.url, { tls })), 'there')
    const without = { tls: { ...tls, caFiles: [] } }
    const env = { NIX_SSL_CERT_FILE: authority.certFile, SSL_CERT_FILE: '/nonexistent' }
    t.equal(await outcome(upstreamAt(t, cache.url, without, { env })), 'there')
    const other = { env: { SSL_CERT_FILE: authority.certFile } }
    t.equal(await outcome(upstreamAt(t, cache.url, without, other)), 'there')
  })

  t.test('files that are of no use are named, and nothing of them is told', async (t) => {
    const cache = await serve(t, there, of(good))
    const bad = join(dir, 'bad.pem')
    writeFileSync(bad, 'geheim')
    const [certificateFile, certificateKeyFile] = [client.certFile, client.keyFile]
    const cases: readonly (readonly [Partial<UpstreamOptions['tls']>, string])[] = [
      [{ caFiles: ['/nonexistent'] }, 'ca_file /nonexistent: no such file'],
      [{ caFiles: [bad] }, `ca_file ${bad}: has nothing in PEM in it`],
      [{ certificateFile, certificateKeyFile: bad }, `certificate_key_file ${bad}: has nothing`],
      [
        { certificateFile, certificateKeyFile: good.keyFile },
        `certificate_key_file ${good.keyFile}`,
      ],
      [
        { certificateFile: '/nonexistent', certificateKeyFile },
        'certificate_file /nonexistent: no',
      ],
    ]
    for (const [changes, expected] of cases) {
      const { code, message } = await mustFail(
        upstreamAt(t, cache.url, { tls: { ...tls, ...changes } }),
      )
      t.equal(code, 'tls')
      t.ok(message.includes(expected), message)
      t.notMatch(message, 'geheim')
    }
  })

  t.test("Weir's certificate is shown to the cache, and to nobody that it leads to", async (t) => {
    const asking = { ca: authority.cert, requestCert: true, rejectUnauthorized: false }
    const shown: (readonly [string, boolean])[] = []
    const note =
      (name: string, location: (url: string) => string | null): RequestListener =>
      (request, response) => {
        shown.push([name, (request.socket as unknown as { authorized: boolean }).authorized])
        const to = request.url === `/cache/${hash}.narinfo` ? location(request.url) : null
        if (to === null) response.end('there')
        else response.writeHead(302, { location: to }).end()
      }
    const elsewhere = await serve(
      t,
      note('elsewhere', () => null),
      { ...of(good), ...asking },
    )
    let to = '/cache/inner'
    const cache = await serve(
      t,
      note('own', () => to),
      { ...of(good), ...asking },
    )
    const certified = {
      tls: { caFiles, certificateFile: client.certFile, certificateKeyFile: client.keyFile },
    }
    const upstream = upstreamAt(t, `${cache.url}/cache`, certified)
    for (to of ['/cache/inner', '/other', `${elsewhere.url}/x`]) {
      t.equal(await outcome(upstream), 'there')
    }
    t.strictSame(shown, [
      ...[
        ['own', true],
        ['own', true],
      ],
      ...[
        ['own', true],
        ['own', false],
      ],
      ...[
        ['own', true],
        ['elsewhere', false],
      ],
    ])
    shown.length = 0
    const mirrored = openUpstream(
      plainUpstream({ url: 'https://127.0.0.1:1', mirrors: [elsewhere.url], ...certified }),
    )
    t.teardown(() => void mirrored.close())
    t.equal(await outcome(mirrored), 'there')
    t.strictSame(shown, [['elsewhere', false]], 'nor to a mirror elsewhere')
    const strict = await serve(t, there, { ...of(good), ...asking, rejectUnauthorized: true })
    t.equal(await outcome(upstreamAt(t, strict.url, certified)), 'there')
    t.type(await mustFail(upstreamAt(t, strict.url, { tls })), UpstreamError)
    // What servers say that end the handshake in OpenSSL, as most do.
    for (const code of [
      'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED',
      'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA',
      'ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE',
    ]) {
      const refused = tlsFailure(Object.assign(new Error('alert'), { code }), 'cache.test')
      t.match(refused, { code: 'tls', message: /^cache\.test does not accept the certificate/ })
    }
  })

  t.test('a proxy sees a CONNECT, and nothing of what goes through it', async (t) => {
    const cache = await serve(t, there, of(good))
    const authorization = basicOf('u:geheim')
    await using proxy = await startProxy({ authorization })
    const env = { https_proxy: proxy.url.replace('//', '//u:geheim@') }
    const credentials = { ...none, tokenFile: tokenFile(t) }
    const url = `https://cache.test:${cache.port}`
    const upstream = upstreamAt(t, url, { credentials, tls, proxy: 'environment' }, { env })
    t.equal(await outcome(upstream), 'there')
    t.strictSame(proxy.requests, [
      {
        method: 'CONNECT',
        target: `cache.test:${cache.port}`,
        headers: {
          host: `cache.test:${cache.port}`,
          'proxy-authorization': authorization,
          connection: 'close',
        },
      },
    ])
    t.strictSame(seen(cache), [shownToken])
    t.equal(cache.requests[0]?.headers['proxy-authorization'], undefined)
  })

  t.test('a proxy behind TLS is believed by its own name, not by that of the cache', async (t) => {
    const byName = await authority.issue('proxy', { names: 'DNS:localhost' })
    const byTarget = await authority.issue('target', { names: 'DNS:cache.test' })
    const certificate = await authority.issue('cache', { names: 'DNS:cache.test' })
    const caches = { https: await serve(t, there, of(certificate)), http: await serve(t, there) }
    for (const scheme of ['https', 'http'] as const) {
      await using proxy = await startProxy({ tls: of(byName) })
      await using other = await startProxy({ tls: of(byTarget) })
      const url = `${scheme}://cache.test:${caches[scheme].port}`
      const ask = (port: number): Promise<string | UpstreamError> =>
        outcome(upstreamAt(t, url, { tls, proxy: `https://localhost:${port}` }))
      t.equal(await ask(proxy.port), 'there', scheme)
      t.match(await ask(other.port), { code: 'tls', message: /is for another name/ }, scheme)
      t.strictSame(other.requests, [], scheme)
    }
  })

  t.test('HTTP/1.1 is all that is offered', async (t) => {
    const offered: string[][] = []
    const cache = await serve(t, there, {
      ...of(good),
      ALPNCallback: ({ protocols }) => {
        offered.push([...protocols])
        return protocols[0]
      },
    })
    t.equal(await outcome(upstreamAt(t, cache.url, { tls })), 'there')
    t.strictSame(offered, [['http/1.1']])
  })
})
