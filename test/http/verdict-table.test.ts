import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { formatPublicKey, publicKeyOf } from '../../src/nix/signature.ts'
import type { RefusalReason } from '../../src/policy/verdict.ts'
import { startWeir, type WeirProcess } from '../lab/weir-process.ts'
import { absent, hashOfRow, keys, offer, type Row, textOf } from './verdict-claims.ts'
import { type PolicyTable, table } from './verdict-table.ts'

/** All upstreams of one policy: `/<upstream>/<hash>.narinfo` is what it says of the row that is asked. */
type Caches = AsyncDisposable & {
  readonly url: string
  /** What the upstreams say from now on, and who was asked. */
  tell(
    row: Row,
    trusted?: (hash: string) => Promise<unknown>,
  ): { readonly hash: string; readonly asked: ReadonlySet<string> }
}

async function startCaches(): Promise<Caches> {
  let answers = (_upstream: string): { readonly status: number; readonly body: string } => ({
    status: 404,
    body: '',
  })
  let path = ''
  let asked = new Set<string>()
  let last: string | undefined
  let trusted: Promise<unknown> = Promise.resolve()
  const server: Server = createServer((request, response) => {
    const [, upstream = '', file = ''] = (request.url ?? '').split('/')
    if (file !== path) {
      response.writeHead(404).end()
      return
    }
    asked.add(upstream)
    const { status, body } = answers(upstream)
    const send = () => response.writeHead(status).end(body)
    if (upstream === last) void trusted.then(send)
    else send()
  })
  server.listen({ host: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    tell(row, isTrusted) {
      const hash = hashOfRow(row)
      last = row.more.last
      if (last !== undefined && isTrusted !== undefined) trusted = isTrusted(hash)
      path = `${hash}.narinfo`
      asked = new Set()
      answers = (upstream) => {
        const said = row.says[upstream]
        if (said === undefined) return { status: 404, body: '' }
        if ('status' in said) return { status: said.status, body: '' }
        return { status: 200, body: 'name' in said ? textOf(row, hash, said) : said.raw }
      }
      return { hash, asked }
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function keyOf(upstream: string): string {
  const key = Object.entries(keys).find(([name]) => name === upstream)?.[1]
  return key === undefined ? '' : `keys = ["${formatPublicKey(publicKeyOf(key))}"]`
}

const configOf = (
  { upstreams, toml }: Pick<PolicyTable, 'upstreams' | 'toml'>,
  url: string,
  dir: string,
) =>
  `
  [server]
  listen = "127.0.0.1:0"
  [cache]
  dir = "${dir}/cache"
  [state]
  dir = "${dir}/state"
  [log]
  format = "json"
  ${Object.entries(upstreams)
    .map(
      ([name, more]) => `
  [[upstream]]
  name = "${name}"
  url = "${url}/${name}"
  ${keyOf(name)}
  ${more}`,
    )
    .join('\n')}
  ${toml}`

/** Runs a Weir with that policy, for as long as the test takes. */
async function withWeir(
  policy: Pick<PolicyTable, 'upstreams' | 'toml'>,
  use: (weir: WeirProcess, caches: Caches) => Promise<void>,
): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'weir-verdicts-'))
  try {
    await using caches = await startCaches()
    await using weir = await startWeir({ config: configOf(policy, caches.url, dir) })
    await use(weir, caches)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

async function ask(weir: WeirProcess, hash: string) {
  const response = await fetch(`${weir.url}/${hash}.narinfo`)
  const body = await response.text()
  const lines = body.split('\n')
  const signers = lines.flatMap((line) => /^Sig: ([^:]+):/.exec(line)?.[1] ?? [])
  const known = new Set(Object.values(keys).map(({ name }) => name))
  return {
    // Without the words beside each reason: a rule's name, why something was recalled.
    body: response.ok ? body : body.replaceAll(/, rule "[^"]*"| \([^)]*\)/g, ''),
    words: body,
    status: response.status,
    verdict: response.headers.get('x-weir-verdict'),
    upstream: response.headers.get('x-weir-upstream'),
    rule: response.headers.get('x-weir-rule'),
    wouldRefuse: response.headers.get('x-weir-would-refuse'),
    sigs: signers.map((name) => (known.has(name) ? name : 'weir')),
    hasCa: lines.some((line) => line.startsWith('CA: ')),
  }
}

async function checkRow(t: Test, weir: WeirProcess, caches: Caches, row: Row): Promise<void> {
  const { hash, asked } = caches.tell(row, (hash) =>
    weir.waitForLog('claim.trusted', ({ path }) => String(path).includes(hash)),
  )
  const { body, words, rule, ...answer } = await ask(weir, hash)
  const { body: expectedBody, ...expected } = row.is
  t.strictSame(answer, expected, 'what is answered')
  if (row.is.status === 404 && !expectedBody.endsWith('\n'))
    t.ok(body.startsWith(expectedBody), body)
  else if (row.is.status === 404) t.equal(body, expectedBody)
  else t.ok(body.includes(expectedBody), body)
  if (row.more.rule !== undefined) t.equal(rule, row.more.rule)
  if (answer.verdict === 'refused' && rule !== null) t.ok(words.includes(`rule "${rule}"`), words)
  const { notAsked = [], logs } = row.more
  t.strictSame(
    notAsked.filter((upstream) => asked.has(upstream)),
    [],
    'who must not be asked',
  )
  if (logs !== undefined) await weir.waitForLog(logs)
}

// Starting a Weir takes longer than all of its rows.
t.jobs = 2
for (const [name, policy] of Object.entries(table)) {
  t.test(`a policy ${name}`, { buffered: true }, async (t) => {
    await withWeir(policy, async (weir, caches) => {
      for (const row of policy.rows) {
        await t.test(row.title, async (t) => {
          await checkRow(t, weir, caches, row)
        })
      }
    })
  })
}

t.test('a key that is taken away', { buffered: true }, async (t) => {
  const before = { upstreams: { nixos: '', acme: '' }, toml: '' }
  await withWeir(before, async (weir, caches) => {
    const row: Row = {
      title: 'a key that is taken away',
      says: { acme: offer('hello-1', 'acme') },
      is: absent,
      more: {},
    }
    const { hash } = caches.tell(row)
    t.equal((await ask(weir, hash)).verdict, 'trusted')
    const config = await readFile(weir.configFile, 'utf8')
    await writeFile(weir.configFile, config.replace(keyOf('acme'), ''))
    process.kill(weir.pid, 'SIGHUP')
    await weir.waitForLog('policy.changed')
    const after = await ask(weir, hash)
    t.equal(after.status, 404)
    t.equal(after.verdict, 'refused')
    t.equal(after.body, 'refused: acme: unknown-key\n')
  })
})

t.test('the table has a row for every reason, and enough of them', { buffered: true }, (t) => {
  const rows = Object.values(table).flatMap(({ rows }) => rows)
  t.ok(rows.length >= 60, `${rows.length} rows`)
  // One that is suspended is not asked: it says nothing that could be refused.
  const reasons: readonly RefusalReason[] = [
    ...(['blocked', 'upstream-not-allowed', 'bad-content-address'] as const),
    ...(['weak-content-address', 'no-trusted-signature', 'unknown-key', 'no-agreement'] as const),
    ...(['divergence', 'name-conflict', 'unexpected-name'] as const),
  ]
  for (const reason of reasons)
    t.ok(
      rows.some(({ is }) => is.body.includes(reason)),
      reason,
    )
  t.end()
})
