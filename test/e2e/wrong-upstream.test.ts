import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { zstdDecompressSync } from 'node:zlib'
import t from 'tap'
import { type Lab, prepareLab } from '../lab/lab-caches.ts'
import type { Fault, FaultAction } from '../lab/fault.ts'
import { createNixClient, type NixClient } from '../lab/nix-client.ts'
import { rawGet } from '../lab/raw-client.ts'
import { startUpstream, type UpstreamServer } from '../lab/upstream-server.ts'
import { startWeir, type WeirProcess } from '../lab/weir-process.ts'

t.setTimeout(600_000)
const lab = await prepareLab()
/** Each fault is a path's of its own, so that one Weir sees many. */
const victims = await pathsWithoutCa(16)
/** One try a file: a failure that is there to stay need not be waited for. */
const impatient = ['--option', 'download-attempts', '1']

type Setting = {
  readonly bad: UpstreamServer
  readonly good: UpstreamServer
  readonly weir: WeirProcess
  readonly client: NixClient
}

/** Weir between a client and a bad upstream, with or without a good one behind it. */
async function withWeir(
  faults: readonly Fault[],
  options: { readonly isAlone: boolean },
  act: (setting: Setting) => Promise<void>,
): Promise<void> {
  await using bad = await startUpstream({ root: lab.caches.xz, faults })
  await using good = await startUpstream({ root: lab.caches.zstd })
  await using client = await createNixClient({ lab })
  const upstream = (name: string, { url }: UpstreamServer) => ({ name, url, keys: [lab.publicKey] })
  const upstreams = [upstream('bad', bad), ...(options.isAlone ? [] : [upstream('good', good)])]
  await using weir = await startWeir({ config: { upstreams } })
  await act({ bad, good, weir, client })
}

/** Weir between a bad upstream, with or without a good one behind it, and whoever asks it by hand: a client takes its time to fail. */
async function withoutClient(
  faults: readonly Fault[],
  options: { readonly isAlone: boolean },
  act: (setting: Pick<Setting, 'bad' | 'weir'>) => Promise<void>,
): Promise<void> {
  await using bad = await startUpstream({ root: lab.caches.xz, faults })
  await using good = await startUpstream({ root: lab.caches.zstd })
  const upstreams = [bad, ...(options.isAlone ? [] : [good])].map(({ url }, index) => ({
    ...{ name: `upstream-${index}`, url, keys: [lab.publicKey] },
  }))
  await using weir = await startWeir({ config: { upstreams } })
  await act({ bad, weir })
}

/** The SHA-256 of a path's NAR as it is had from Weir, in hex; `null` where it is not. */
async function narFrom(weir: WeirProcess, path: string): Promise<string | null> {
  const narinfo = await rawGet(`${weir.url}/${hashOf(path)}.narinfo`)
  if (narinfo.status !== 200) return null
  const nar = await rawGet(`${weir.url}/nar/${narFileOf(narinfo.body.toString())}`)
  if (nar.status !== 200 || !nar.complete) return null
  return createHash('sha256').update(zstdDecompressSync(nar.body)).digest('hex')
}

/** Besides flipped bytes, short and long NARs, and bombs: those are store-wrong-nars.test.ts's. */
const narFaults: Readonly<Record<string, FaultAction>> = {
  'a NAR cut by the connection': { kind: 'truncate', bytes: 100 },
  'a NAR cut under a matching Content-Length': { kind: 'shortOk', bytes: 100 },
  'a NAR that resets': { kind: 'reset', bytes: 100 },
  'a web page for a NAR': { kind: 'html' },
  'an empty NAR': { kind: 'replaceBody', body: '' },
  'a NAR with Content-Encoding': { kind: 'header', name: 'content-encoding', value: 'gzip' },
  'a 404 for a NAR': { kind: 'status', status: 404 },
}

t.test('a wrong NAR, alone: never delivered', async (t) => {
  const cases = await Promise.all(
    Object.entries(narFaults).map(async ([title, action], index) => {
      const path = victims[index] ?? ''
      const file = new RegExp(narFileOf(await readNarinfo(lab, 'xz', path)))
      return { title, path, faults: wrongNar(file, action) }
    }),
  )
  const faults = cases.flatMap(({ faults }) => faults)
  await withoutClient(faults, { isAlone: true }, async ({ weir }) => {
    for (const { title, path } of cases) t.equal(await narFrom(weir, path), null, title)
  })
})

for (const [title, action] of Object.entries(narFaults)) {
  t.test(`${title}: the next upstream's is delivered`, async (t) => {
    const faults = wrongNar(/^\/nar\//, action)
    await withoutClient(faults, { isAlone: false }, async ({ weir }) => {
      t.equal(await narFrom(weir, lab.paths.top), lab.narSha256(lab.paths.top))
    })
  })
}

/** A body that breaks off is a matter of its own: broken-nars.test.ts. */
function wrongNar(path: RegExp, action: FaultAction): readonly Fault[] {
  return [
    { path, action: { kind: 'norange' } },
    { path, action },
  ]
}

const narinfoFaults: Readonly<Record<string, (text: string) => string>> = {
  'a wrong signature': (text) => text.replace(/^(Sig: [^:]*:).{8}/m, '$1AAAAAAAA'),
  'no signature': (text) => text.replaceAll(/^Sig: .*\n/gm, ''),
  "another path's narinfo": () => '', // replaced below
  'another NarHash': (text) => text.replace(/^(NarHash: sha256:)./m, '$10'),
  'another NarSize': (text) => text.replace(/^NarSize: /m, 'NarSize: 1'),
  'another name': (text) => text.replace(/^(StorePath: .*)$/m, '$1x'),
  'a reference more': (text) =>
    text.replace(/^References: /m, `References: ${base(lab.paths.wide)} `),
  'another store': (text) => text.replace(/^StorePath: \/nix/m, 'StorePath: /gnu'),
  'no final newline': (text) => text.trimEnd(),
  'a web page': () => '<!doctype html><title>Log in</title>\n',
  'a CA label': (text) => `${text}CA: fixed:r:sha256:0${'1'.repeat(51)}\n`,
  '`..` in its URL': (text) => text.replace(/^URL: nar\//m, 'URL: nar/../nar/'),
  'an encoded `..` in its URL': (text) => text.replace(/^URL: nar\//m, 'URL: %2e%2e/nar/'),
  'an absolute URL to another host': (text) => text.replace(/^URL: /m, 'URL: http://localhost:1/'),
  'a URL to a file': (text) => text.replace(/^URL: .*$/m, 'URL: file:///etc/passwd'),
  'an oversize body': (text) => text + 'X: '.padEnd(3 * 1024 * 1024, 'x') + '\n',
}

for (const isAlone of [true, false]) {
  t.test(
    isAlone
      ? 'a wrong narinfo: its path is not had from there'
      : "a wrong narinfo: the next upstream's path is had",
    async (t) => {
      const other = await readNarinfo(lab, 'xz', lab.paths.fod)
      const cases = Object.entries(narinfoFaults).map(([title, change], index) => {
        const path = victims[index] ?? ''
        const body = (original: Buffer): string => change(original.toString()) || other
        const at = `/${hashOf(path)}.narinfo`
        const fault: Fault = { path: new RegExp(`^${at}`), action: { kind: 'replaceBody', body } }
        return { title, path, at, fault }
      })
      const faults = cases.map(({ fault }) => fault)
      await withoutClient(faults, { isAlone }, async ({ weir, bad }) => {
        for (const { title, path, at } of cases) {
          // A CA label that does not hold is cut off where the signature is good: that path is what it was.
          const isHad = !isAlone || title === 'a CA label'
          t.equal(await narFrom(weir, path), isHad ? lab.narSha256(path) : null, title)
          t.ok(
            bad.requests.some((request) => request.path === at),
            `asked for that with ${title}`,
          )
        }
        t.notOk(bad.requests.some(({ path }) => path.includes('..')))
      })
    },
  )
}

t.test(
  'a large NAR that is cut in the middle is gone on with from the next upstream',
  async (t) => {
    const path = lab.paths.incompressible
    const file = narFileOf(await readNarinfo(lab, 'xz', path))
    const at = { path: new RegExp(file) }
    const faults: readonly Fault[] = [
      { ...at, action: { kind: 'norange' } },
      { ...at, action: { kind: 'truncate', bytes: 40_000_000 } },
    ]
    await withWeir(faults, { isAlone: false }, async ({ weir, client, good }) => {
      const { code, stderr } = await realise(client, weir, path)
      t.equal(code, 0, stderr)
      t.equal(await client.narSha256(path), lab.narSha256(path))
      t.ok(good.requests.some(({ path: asked }) => asked.startsWith('/nar/')))
    })
  },
)

t.test(
  'a large NAR with a flipped byte never completes; the next command gets the good one',
  async (t) => {
    const path = lab.paths.incompressible
    const file = narFileOf(await readNarinfo(lab, 'xz', path))
    const fault: Fault = { path: new RegExp(file), action: { kind: 'corrupt', at: 'middle' } }
    await withWeir([fault], { isAlone: false }, async ({ weir, client, bad }) => {
      const first = await realise(client, weir, path)
      t.not(first.code, 0)
      t.notOk(await client.has(path))
      const nar = /^URL: (.*)$/m.exec(
        await (await fetch(`${weir.url}/${hashOf(path)}.narinfo`)).text(),
      )
      const resumed = await rawGet(`${weir.url}/${nar?.[1] ?? ''}`, {
        headers: { range: 'bytes=1000-' },
      })
      t.equal(resumed.status, 404, 'a resume of the wrong body is refused for good')
      const asked = bad.requests.length
      const second = await realise(client, weir, path)
      t.equal(second.code, 0, second.stderr)
      t.equal(await client.narSha256(path), lab.narSha256(path))
      t.notOk(
        bad.requests.slice(asked).some(({ path: url }) => url.includes(file)),
        'the upstream that was wrong is not asked for it again',
      )
    })
  },
)

t.test('redirects: to another host of loopback yes, in a loop or to a file no', async (t) => {
  await using target = await startUpstream({ root: lab.caches.xz })
  const nar = /^\/nar\//
  const cases: readonly (readonly [string, FaultAction, boolean])[] = [
    ['another port', { kind: 'redirect', location: target.url, status: 302 }, true],
    ['itself', { kind: 'redirect', location: '', status: 301 }, false],
    ['a file', { kind: 'redirect', location: 'file:///etc', status: 302 }, false],
  ]
  for (const [title, action, works] of cases) {
    await withWeir([{ path: nar, action }], { isAlone: true }, async ({ bad, weir, client }) => {
      if (title !== 'a file') {
        bad.faults.clear()
        const base = title === 'itself' ? bad.url : target.url
        bad.faults.add({
          path: nar,
          action: {
            kind: 'handler',
            handle: (request, response) => {
              response.writeHead(302, { location: `${base}${request.url ?? ''}` }).end()
            },
          },
        })
      }
      const { code } = await realise(client, weir, lab.paths.dep, impatient)
      t.equal(code === 0, works, title)
    })
  }
})

async function realise(
  client: NixClient,
  weir: WeirProcess,
  path: string,
  extraOptions: readonly string[] = [],
) {
  await client.forgetNarinfos()
  return client.realise([path], { substituters: [weir.url], extraOptions })
}

/** So many input-addressed paths of the lab, small ones. */
async function pathsWithoutCa(count: number): Promise<readonly string[]> {
  const files = (await readdir(lab.caches.xz)).filter((file) => file.endsWith('.narinfo')).sort()
  const paths: string[] = []
  for (const file of files) {
    const text = await readFile(join(lab.caches.xz, file), 'utf8')
    const [, path = ''] = /^StorePath: (.*)$/m.exec(text) ?? []
    const isSmall = Number(/^NarSize: (.*)$/m.exec(text)?.[1]) < 1_000_000
    const isOther = path !== lab.paths.fod && path !== lab.paths.wide
    if (isSmall && isOther && !/^CA: /m.test(text)) paths.push(path)
  }
  if (paths.length < count) throw new Error(`the lab has ${paths.length} such paths`)
  return paths.slice(0, count)
}

function readNarinfo({ caches }: Lab, encoding: 'xz' | 'zstd', path: string): Promise<string> {
  return readFile(join(caches[encoding], `${hashOf(path)}.narinfo`), 'utf8')
}

function narFileOf(narinfo: string): string {
  return /^URL: nar\/(.*)$/m.exec(narinfo)?.[1] ?? ''
}

function base(path: string): string {
  return path.slice('/nix/store/'.length)
}

function hashOf(path: string): string {
  return base(path).slice(0, 32)
}
