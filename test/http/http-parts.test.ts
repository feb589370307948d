import { deepEqual, equal, ok } from 'node:assert/strict'
import { IncomingMessage, type IncomingHttpHeaders } from 'node:http'
import { Socket } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import { type ByteRange, parseByteRange, resolveRange } from '../../src/http/routes/byte-range.ts'
import { ownNames, type OwnNames, refusalOf } from '../../src/http/own-names.ts'
import { parseRoute, type Route } from '../../src/http/route.ts'
import {
  isSameFile,
  type NarFileKey,
  narFileName,
  parseNarFileName,
} from '../../src/nix/nar-key.ts'
import { encodeNix32 } from '../../src/nix/nix32.ts'
import { pathHash } from '../nix/fixtures.ts'

const seed = 20260731
const hashText = '05fkk8iijk1kq5cpqwnfcnh5yks8nj4m'
const hash = pathHash(hashText)
const narHash = '1cam1rn5nrgrpa0qkp3j6ng7vlpr18rvajb10vc0cznyk1xnankv'
const nar = `${hashText}-${narHash}.nar.zst`
const drv = `${hashText}-hello-2.12.drv`

/* Routes. */

const key: NarFileKey = { storePathHash: hash, narHash, compression: 'zstd' }

const routes: readonly (readonly [target: string, Route])[] = [
  ['/nix-cache-info', { kind: 'cache-info' }],
  ['/public-key', { kind: 'public-key' }],
  ['/healthz', { kind: 'healthz' }],
  ['/readyz', { kind: 'readyz' }],
  ['/metrics', { kind: 'metrics' }],
  [`/${hashText}.narinfo`, { kind: 'narinfo', hash }],
  [`/${hashText}.narinfo?x=/../y`, { kind: 'narinfo', hash }],
  [`/${hashText}.ls`, { kind: 'listing', hash }],
  [`//${hashText}.narinfo`, { kind: 'narinfo', hash }],
  [`/nar/${nar}`, { kind: 'nar', key }],
  [`/nar/${nar}?token=1`, { kind: 'nar', key }],
  [`///nar/${nar}`, { kind: 'nar', key }],
  [`/log/${drv}`, { kind: 'log', derivation: drv }],
  ['//nix-cache-info?', { kind: 'cache-info' }],
  ['/', { kind: 'page', page: 'status' }],
  ['/policy?x', { kind: 'page', page: 'policy' }],
  ['/search', { kind: 'page', page: 'search', text: '', after: null }],
  ['/search?q=+a%20b%3C&after=x', { kind: 'page', page: 'search', text: 'a b<', after: 'x' }],
  [`/path/${hashText}`, { kind: 'page', page: 'path', hash, isLive: false }],
  [`/path/${hashText}?live`, { kind: 'page', page: 'path', hash, isLive: true }],
  ['/ui/0123/browser/main.js', { kind: 'asset', address: '/ui/0123/browser/main.js' }],
]
for (const [target, expected] of routes) {
  t.test(`${target} is the route ${expected.kind}`, async (t) => {
    t.strictSame(parseRoute(target), expected)
  })
}

const unserved: Readonly<Record<string, readonly string[]>> = {
  'the rest of the protocol': [
    `/nar/${hashText}.ls`,
    `/${hashText}.ls/`,
    `/${hashText.slice(1)}.ls`,
    '/realisations/sha256:0123!out.doi',
    '/debuginfo/0123456789012345678901234567890123456789.debug',
  ],
  'another file of the cache folder or the state folder': [
    `/nar/${hashText}.narinfo.partial`,
    '/.partial/x.nar.zst',
    '/nar/.partial/x',
    '/.weir-lock',
    '/signing-key',
    '/catalog.sqlite',
    '/nar/',
    '/nar',
    '',
    '*',
  ],
  'a way out of the folder': [
    '/../signing-key',
    '/nar/../../signing-key',
    `/nar/../${nar}`,
    `/nar/./${nar}`,
    `/nar//${nar}`,
    `/nar/%2e%2e/${nar}`,
    `/nar/..%2f${nar}`,
    `/nar/..\\${nar}`,
    `/nar/${nar}/..`,
    `/nar/${nar}/../../../etc/passwd`,
    `/nar/${nar}%00`,
    `/nar/${nar}\0`,
    `/nar/${nar}\n`,
    `/nar/${nar}/`,
    `/x/../${hashText}.narinfo`,
    `/../${hashText}.narinfo`,
    `/./${hashText}.narinfo`,
    `/nar/${hashText}.narinfo`,
    `/log/../${drv}`,
    `/log/%2e%2e/${drv}`,
    `/log/${drv}/../x.drv`,
    `/log/${hashText}-..-x.drv`,
    '/log/..',
    '/etc/passwd',
    'file:///etc/passwd',
  ],
  'a name that is nearly one': [
    `/${hashText.slice(1)}.narinfo`,
    `/0${hashText}.narinfo`,
    `/${hashText.toUpperCase()}.narinfo`,
    `/${hashText.replace('0', 'e')}.narinfo`,
    `/${hashText}.NARINFO`,
    `/${hashText}.narinfo/`,
    `/${hashText}%2enarinfo`,
    '/.narinfo',
    `/nar/${nar.replace('.zst', '.lzip')}`,
    `/nar/${nar.replace('.nar.zst', '.zst')}`,
    `/nar/${nar}.xz`,
    `/nar/${hashText}.nar.zst`,
    `/nar/${narHash}.nar.zst`,
    `/nar/${nar.toUpperCase()}`,
    `/nar/${hashText}-z${narHash.slice(1)}.nar.zst`,
    `/nar/${hashText}-e${narHash.slice(1)}.nar.zst`,
    `/NAR/${nar}`,
    `/log/${hashText}-hello-2.12`,
    `/log/${hashText}`,
    '/log/',
    '/Nix-Cache-Info',
    '/nix-cache-info/',
    '/healthz/x',
    '/path/',
    `/path/${hashText}-hello-2.12`,
    `/path/${hashText}/`,
    '/policy/',
    '/Search',
    '/ui',
  ],
}
for (const [what, targets] of Object.entries(unserved)) {
  t.test(`${what} is not served`, async (t) => {
    for (const target of targets) {
      t.strictSame(parseRoute(target), { kind: 'not-served' }, JSON.stringify(target))
    }
  })
}

const anyKey: fc.Arbitrary<NarFileKey> = fc
  .record({
    path: fc.uint8Array({ minLength: 20, maxLength: 20 }),
    nar: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    compression: fc.constantFrom('none', 'xz', 'zstd', 'br', 'gzip', 'bzip2'),
  })
  .map(({ path, nar, compression }) => ({
    storePathHash: pathHash(encodeNix32(path)),
    narHash: encodeNix32(nar),
    compression,
  }))

t.test('each NAR has a URL that leads to it, and to it alone', async () => {
  fc.assert(
    fc.property(anyKey, anyKey, (key, other) => {
      deepEqual(parseRoute(`/nar/${narFileName(key)}`), { kind: 'nar', key })
      deepEqual(parseNarFileName(narFileName(key)), key)
      equal(isSameFile(key, other), narFileName(key) === narFileName(other))
    }),
    { seed },
  )
})

t.test('a target is never more than its route says, and never throws', async () => {
  const piece = fc.oneof(
    fc.constantFrom(
      '/',
      '//',
      '..',
      '.',
      '%2e',
      '%2f',
      '\\',
      '\0',
      '?',
      '#',
      ':',
      '*',
      '-',
      '.drv',
    ),
    fc.constantFrom(
      'nar',
      'log',
      '.narinfo',
      '.ls',
      '.nar.zst',
      hashText,
      narHash,
      nar,
      drv,
      'http://x',
      '/api/v1/',
      'paths',
      'upstreams/suspend',
    ),
    fc.string({ unit: 'binary', maxLength: 8 }),
  )
  const targets = fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join(''))
  fc.assert(
    fc.property(targets, (target) => {
      const route = parseRoute(target)
      switch (route.kind) {
        case 'nar':
          deepEqual(parseNarFileName(narFileName(route.key)), route.key)
          ok(target.includes(`/nar/${narFileName(route.key)}`))
          break
        case 'narinfo':
        case 'listing':
        case 'explain':
          ok(/^[0-9a-df-np-sv-z]{32}$/.test(route.hash))
          break
        case 'log':
          ok(/^[0-9a-z]{32}-[0-9a-zA-Z+._?=-]+\.drv$/.test(route.derivation))
          break
        case 'realisation':
          ok(target.includes('.doi'))
          break
        case 'api':
          ok(target.includes(`/api/v1/${route.reading}`))
          break
        case 'api-action':
        case 'api-unknown':
          ok(target.includes('/api/v1/'))
          break
        case 'page':
          if (route.page === 'path') ok(/^[0-9a-df-np-sv-z]{32}$/.test(route.hash))
          if (route.page === 'search') ok(route.text.length <= 300)
          break
        case 'asset':
          ok(route.address.startsWith('/ui/'))
          break
        case 'cache-info':
        case 'public-key':
        case 'healthz':
        case 'readyz':
        case 'metrics':
        case 'not-served':
      }
    }),
    { seed, numRuns: 3000 },
  )
})

t.test('a changed character of a NAR file name makes it another key or no name', async (t) => {
  for (let i = 0; i < nar.length; i++) {
    for (const character of ['0', 'e', 'Z', '/', '.', '-', '\0', '\n']) {
      if (nar[i] === character) continue
      const changed = parseNarFileName(nar.slice(0, i) + character + nar.slice(i + 1))
      ok(changed === null || !isSameFile(changed, key), `${character} at ${i}`)
    }
  }
  t.equal(parseNarFileName(`${nar}\n`), null)
  t.equal(parseNarFileName(` ${nar}`), null)
})

/* Ranges. */

const ranges: readonly (readonly [header: string | undefined, ByteRange | null])[] = [
  ['bytes=0-0', { kind: 'from', first: 0, last: 0 }],
  ['bytes=5-', { kind: 'from', first: 5, last: null }],
  ['bytes=5-9', { kind: 'from', first: 5, last: 9 }],
  ['  bytes=5-9 ', { kind: 'from', first: 5, last: 9 }],
  ['bytes=007-010', { kind: 'from', first: 7, last: 10 }],
  ['bytes=-5', { kind: 'suffix', length: 5 }],
  ['bytes=-0', { kind: 'suffix', length: 0 }],
  ['bytes=999999999999999-', { kind: 'from', first: 999_999_999_999_999, last: null }],
  [undefined, null],
  ['', null],
  ['bytes', null],
  ['bytes=', null],
  ['bytes=-', null],
  ['bytes=9-5', null],
  ['bytes=0-1,4-5', null],
  ['bytes=0-1, -1', null],
  ['bytes=0-1-2', null],
  ['bytes=--1', null],
  ['bytes=a-b', null],
  ['bytes=0x1-2', null],
  ['bytes=1e3-', null],
  ['bytes=1.5-2', null],
  ['bytes=+1-2', null],
  ['bytes = 1-2', null],
  ['bytes=1 - 2', null],
  ['items=1-2', null],
  ['1-2', null],
  [`bytes=${'9'.repeat(400)}-`, null],
  ['bytes=٣-', null],
]
for (const [header, expected] of ranges) {
  const shown = header === undefined ? 'no header' : JSON.stringify(header.slice(0, 40))
  t.test(`the range of ${shown} is ${expected === null ? 'the whole' : 'a part'}`, async (t) => {
    t.strictSame(parseByteRange(header), expected)
  })
}

const parts: readonly (readonly [string, number, readonly [number, number] | null])[] = [
  ['bytes=0-', 10, [0, 9]],
  ['bytes=0-0', 10, [0, 0]],
  ['bytes=9-', 10, [9, 9]],
  ['bytes=9-9', 10, [9, 9]],
  ['bytes=5-100', 10, [5, 9]],
  ['bytes=10-', 10, null],
  ['bytes=10-20', 10, null],
  ['bytes=-1', 10, [9, 9]],
  ['bytes=-10', 10, [0, 9]],
  ['bytes=-11', 10, [0, 9]],
  ['bytes=-0', 10, null],
  ['bytes=0-', 0, null],
  ['bytes=-5', 0, null],
]
for (const [header, size, expected] of parts) {
  t.test(`${header} of ${size} bytes is ${expected?.join(' to ') ?? 'no part'}`, async (t) => {
    const range = parseByteRange(header)
    t.not(range, null)
    const part = range && resolveRange(range, size)
    t.strictSame(part && [part.first, part.last], expected)
  })
}

t.test('a range is the bytes that slicing would give', async () => {
  const bytes = Array.from({ length: 40 }, (_, index) => index)
  const number = fc.option(fc.nat(50), { nil: null })
  fc.assert(
    fc.property(number, number, fc.nat(40), (first, last, size) => {
      const range = parseByteRange(`bytes=${first ?? ''}-${last ?? ''}`)
      if (range === null) {
        ok((first === null && last === null) || (first !== null && last !== null && last < first))
        return
      }
      const whole = bytes.slice(0, size)
      const expected =
        first === null
          ? last === 0
            ? []
            : whole.slice(-(last ?? 0))
          : whole.slice(first, last === null ? undefined : last + 1)
      const part = resolveRange(range, size)
      deepEqual(part === null ? [] : whole.slice(part.first, part.last + 1), expected)
    }),
    { seed, numRuns: 2000 },
  )
})

/* Own names. */

const requestOf = (headers: IncomingHttpHeaders, method = 'GET'): IncomingMessage => {
  const request = new IncomingMessage(new Socket())
  request.headers = headers
  request.method = method
  return request
}
const refusal = (own: OwnNames, host: string | undefined, more: IncomingHttpHeaders = {}) =>
  refusalOf(requestOf({ ...(host !== undefined && { host }), ...more }), own, { isPage: false })

const loopback = ownNames('127.0.0.1', 'machine', ['weir.example.org'])
const everywhere = ownNames('0.0.0.0', 'Machine', ['weir.example.org'])

type NameRow = readonly [host: string, onLoopback: boolean, everywhere: boolean]
const names: readonly NameRow[] = [
  ['127.0.0.1', true, true],
  ['127.0.0.1:8484', true, true],
  ['localhost', true, true],
  ['LocalHost:8484', true, true],
  ['localhost.:8484', true, true],
  ['[::1]', true, true],
  ['[::1]:8484', true, true],
  ['weir.example.org', true, true],
  ['WEIR.example.org.:443', true, true],
  ['machine', false, true],
  ['MACHINE:8484', false, true],
  ['192.168.1.7:8484', false, true],
  ['10.0.0.1', false, true],
  ['[fd00::7]:8484', false, true],
  ['[fd00::7]', false, true],
  ['evil.example', false, false],
  ['evil.example:8484', false, false],
  ['localhost.evil.example', false, false],
  ['evil-localhost', false, false],
  ['127.0.0.1.evil.example', false, false],
  ['127.0.0.1@evil.example', false, false],
  ['evil.example@127.0.0.1', false, false],
  ['evil.example#127.0.0.1', false, false],
  ['x.weir.example.org', false, false],
  ['machine.evil.example', false, false],
  ['localhost, evil.example', false, false],
  ['2130706433', false, false],
  ['127.1', false, false],
  ['', false, false],
  [':8484', false, false],
  ['[', false, false],
  ['[]', false, false],
  ['::1', false, false],
]
for (const [host, isOwnOnLoopback, isOwnEverywhere] of names) {
  t.test(`the Host ${JSON.stringify(host)} is judged by where Weir listens`, async (t) => {
    t.equal(refusal(loopback, host), isOwnOnLoopback ? null : 'foreign-host', 'on loopback')
    t.equal(refusal(everywhere, host), isOwnEverywhere ? null : 'foreign-host', 'everywhere')
  })
}

t.test('a request without a Host is refused', async (t) => {
  t.equal(refusal(loopback, undefined), 'foreign-host')
  t.equal(refusal(everywhere, undefined), 'foreign-host')
})

t.test('where Weir listens is one of its names', async (t) => {
  t.equal(refusal(ownNames('weir.lan', 'machine', []), 'weir.lan:8484'), null)
  t.equal(refusal(ownNames('192.168.1.7', 'machine', []), '192.168.1.7'), null)
  t.equal(refusal(ownNames('fd00::7', 'machine', []), '[fd00::7]:8484'), null)
  t.equal(refusal(ownNames('::1', 'machine', []), '[::1]:8484'), null)
  t.equal(refusal(ownNames('::1', 'machine', []), '[fd00::7]:8484'), 'foreign-host')
  t.equal(refusal(ownNames('127.0.0.2', 'machine', []), '127.0.0.2:8484'), null)
  t.equal(refusal(ownNames('localhost', 'machine', []), 'machine'), 'foreign-host')
})

t.test("another site's page is refused, a person and Weir's own page are not", async (t) => {
  const host = 'localhost:8484'
  const site = (name: string) => refusal(loopback, host, { 'sec-fetch-site': name })
  t.equal(site('same-origin'), null)
  t.equal(site('none'), null)
  t.equal(site('cross-site'), 'cross-site')
  t.equal(site('same-site'), 'cross-site')
  t.equal(site(''), 'cross-site')
  const origin = (text: string) => refusal(loopback, host, { origin: text })
  t.equal(origin('http://localhost:8484'), null)
  t.equal(origin('http://LOCALHOST:8484'), null)
  for (const other of [
    'http://evil.example',
    'http://localhost',
    'http://localhost:8485',
    'http://127.0.0.1:8484',
    'null',
    '',
    'file://',
    'nonsense',
  ]) {
    t.equal(origin(other), 'cross-site', other)
  }
  t.equal(
    refusal(loopback, host, { origin: `http://${host}`, 'sec-fetch-site': 'cross-site' }),
    'cross-site',
  )
  t.equal(refusal(loopback, 'evil.example', { origin: 'http://evil.example' }), 'foreign-host')
})

t.test('a link on another site opens a page, and nothing else', async (t) => {
  const visit = {
    host: 'localhost:8484',
    'sec-fetch-site': 'cross-site',
    'sec-fetch-mode': 'navigate',
    'sec-fetch-dest': 'document',
  }
  const open = (headers: IncomingHttpHeaders, { isPage = true, method = 'GET' } = {}) =>
    refusalOf(requestOf({ ...visit, ...headers }, method), loopback, { isPage })
  t.equal(open({}), null)
  t.equal(open({ 'sec-fetch-site': 'same-site' }), null)
  t.equal(open({}, { isPage: false }), 'cross-site', 'what is no page stays refused')
  t.equal(open({}, { method: 'POST' }), 'cross-site')
  t.equal(open({}, { method: 'HEAD' }), 'cross-site')
  for (const dest of ['iframe', 'frame', 'embed', 'object', 'script', 'empty', '']) {
    t.equal(open({ 'sec-fetch-dest': dest }), 'cross-site', `as ${dest}`)
  }
  for (const mode of ['no-cors', 'cors', 'nested-navigate', '']) {
    t.equal(open({ 'sec-fetch-mode': mode }), 'cross-site', `by ${mode}`)
  }
  t.equal(open({ origin: 'https://evil.example' }), 'cross-site')
  t.equal(open({ host: 'evil.example' }), 'foreign-host')
})

t.test('no name of somebody else is ever Weir’s own', async () => {
  const label = fc.stringMatching(/^[a-z][a-z0-9-]{0,10}[a-z0-9]$/)
  const foreign = fc
    .tuple(fc.constantFrom('localhost', '127.0.0.1', 'weir.example.org', 'machine'), label, label)
    .map(([own, name, suffix]) => `${own}.${name}.${suffix}`)
  fc.assert(
    fc.property(foreign, fc.option(fc.nat(65_535), { nil: null }), (name, port) => {
      const host = port === null ? name : `${name}:${port}`
      equal(refusal(loopback, host), 'foreign-host')
      equal(refusal(everywhere, host), 'foreign-host')
    }),
    { seed },
  )
})
