import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { formatPublicKey, generateSecretKey } from '../../src/nix/signature.ts'
import { workFolder } from '../fakes/work-folder.ts'
import { askNarinfo, askWhy, reloadWeir } from '../lab/ask-weir.ts'
import { hasOpenssl, makeAuthority } from '../lab/certificates.ts'
import { mustDeliver } from '../lab/deliveries.ts'
import { makeOffer, type Offer, pathOf, signedBy } from '../lab/forged-offer.ts'
import { type ForgedUpstream, startForgedUpstream } from '../lab/forged-upstream.ts'
import { prepareLab } from '../lab/lab-caches.ts'
import { createNixClient } from '../lab/nix-client.ts'
import { startProxy } from '../lab/proxy-server.ts'
import { rawGet } from '../lab/raw-client.ts'
import type { RequestRecord } from '../lab/request-log.ts'
import { runCommand } from '../lab/run-command.ts'
import { startWeir, type WeirProcess } from '../lab/weir-process.ts'

t.setTimeout(300_000)
const token = 'Zq7-token-that-nobody-sees'
const password = 'Zq7-password-that-nobody-sees'
const proxyPassword = 'Zq7-proxy-that-nobody-sees'
const basicOf = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`
const secrets = [token, password, proxyPassword].flatMap((secret) => [
  secret,
  Buffer.from(secret).toString('base64'),
])
const secretHeaders = [`Bearer ${token}`, basicOf(`ci:${password}`), basicOf(`u:${proxyPassword}`)]
const key = generateSecretKey('one-1')
const publicKey = formatPublicKey(key.publicKey)
const main = join(import.meta.dirname, '../../src/main.ts')
const lab = await prepareLab()
const client = await createNixClient({ lab, publicKeys: [publicKey] })
t.teardown(() => client[Symbol.asyncDispose]())

async function secretFiles(t: Test) {
  const dir = workFolder(t)
  const [tokenFile, passwordFile] = [join(dir, 'token'), join(dir, 'password')]
  await writeFile(tokenFile, `${token}\n`, { mode: 0o600 })
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 })
  return { dir, tokenFile, passwordFile }
}

const made = (name: string): Offer => signedBy(makeOffer({ name }), key)

/** Everything that anybody can read of a Weir: its log, metrics, explanations, commands and errors. */
async function everythingTold(
  weir: WeirProcess,
  offers: readonly Offer[],
  env: NodeJS.ProcessEnv,
): Promise<string> {
  const told: string[] = []
  for (const path of ['/metrics', '/healthz', '/log/nothing.drv', '/nix-cache-info']) {
    told.push((await rawGet(weir.url + path)).body.toString())
  }
  for (const offer of offers) {
    const { text } = await askNarinfo(weir, offer)
    told.push(text, JSON.stringify(await askWhy(weir, offer, { isLive: true })))
    const { storePath } = offer.narinfo
    told.push((await rawGet(`${weir.url}/api/v1/explain/${storePath.hash}`)).body.toString())
  }
  const [first] = offers
  const commands = [
    ['status'],
    ['check'],
    ['upstream', 'list'],
    ['policy', 'show'],
    ['explain', first === undefined ? '' : pathOf(first)],
  ]
  const run = ([command = '', ...operands]: readonly string[]) =>
    runCommand(process.execPath, [main, command, '--config', weir.configFile, ...operands], {
      env: { ...process.env, ...env },
    })
  const results = await Promise.all(commands.map(run))
  told.push(...results.flatMap(({ stdout, stderr }) => [stdout, stderr]))
  return [...told, ...weir.logs.map(({ text }) => text)].join('\n')
}

/** Fails where any of the secrets was told, by itself or as a header has it. */
function mustBeSilent(t: Test, told: string): void {
  for (const secret of [...secrets, ...secretHeaders]) {
    const at = told.indexOf(secret)
    if (at >= 0) t.fail(`told: ${told.slice(Math.max(0, at - 200), at + 10)}`)
  }
  t.ok(told.length > 1000)
}

const shownTo = ({ requests }: Pick<ForgedUpstream, 'requests'>) => [
  ...new Set(requests.map(({ headers }) => headers.authorization)),
]

t.test('a token is seen by its own cache alone, and told to nobody', async (t) => {
  const { tokenFile, passwordFile } = await secretFiles(t)
  const names = ['plain', 'inner', 'outer', 'away', 'far', 'failing']
  const offers = names.map((name) => made(`${name}-1.0`))
  const [plain, inner, outer, away, far, failing] = offers
  if (!plain || !inner || !outer || !away || !far || !failing) throw new Error('no offers')
  await using own = await startForgedUpstream(...offers)
  await using elsewhere = await startForgedUpstream(...offers)
  await using second = await startForgedUpstream(plain, inner, outer, away, far)
  const narinfo = ({ narinfo: { storePath } }: Offer) => `${storePath.hash}.narinfo`
  const toNar = ({ narinfo: { url } }: Offer) => new RegExp(`^/${url}$`)
  const redirect = (path: RegExp, location: string) => {
    own.faults.add({ path, action: { kind: 'redirect', location } })
  }
  redirect(toNar(inner), `/inner/../${inner.narinfo.url}?again`)
  redirect(new RegExp(`^/${narinfo(outer)}$`), `http://localhost:${own.port}/${narinfo(outer)}?x`)
  redirect(toNar(away), `${elsewhere.url}/${away.narinfo.url}`)
  await own.putText(
    far,
    (await rawGet(`${own.url}/${narinfo(far)}`)).body
      .toString()
      .replace(/^URL: /m, `URL: ${elsewhere.url}/`),
  )
  own.faults.add({ path: new RegExp(narinfo(failing)), action: { kind: 'status', status: 401 } })
  own.requests.length = 0
  await using weir = await startWeir({
    config: {
      upstreams: [
        {
          ...{ name: 'own', url: own.url, keys: [publicKey], token_file: tokenFile },
          redirect_hosts: [`127.0.0.1:${elsewhere.port}`, `localhost:${own.port}`],
        },
        {
          ...{ name: 'second', url: second.url, keys: [publicKey] },
          ...{ user: 'ci', password_file: passwordFile },
        },
      ],
      extra: { log: { level: 'trace', format: 'json' } },
    },
  })
  await mustDeliver(client, weir.url, [plain, inner, outer, away, far])
  const isTo =
    (name: string) =>
    ({ headers }: RequestRecord) =>
      headers.host?.startsWith(name) === true
  const [direct, byName] = ['127.0.0.1', 'localhost'].map((name) => own.requests.filter(isTo(name)))
  t.strictSame(shownTo({ requests: direct ?? [] }), [`Bearer ${token}`])
  t.strictSame(shownTo({ requests: byName ?? [] }), [undefined], 'to another name it is another')
  t.ok((direct ?? []).some(({ path }) => path.endsWith('?again')))
  t.strictSame(shownTo(elsewhere), [undefined])
  t.ok(elsewhere.requests.length >= 2, 'both NARs came from there')
  t.strictSame(shownTo(second), [basicOf(`ci:${password}`)])

  const answer = await askNarinfo(weir, failing)
  t.equal(answer.status, 503, 'what it could not tell is not absent')
  const why = await askWhy(weir, failing, { isLive: true })
  t.match(JSON.stringify(why), 'status 401: it does not accept the credentials of token_file')
  const told = await everythingTold(weir, [...offers, made('missing-1.0')], {})
  mustBeSilent(t, told)
  t.match(told, 'upstream own')
})

t.test('an upstream whose credentials are missing or wrong hides no other', async (t) => {
  const { dir, tokenFile } = await secretFiles(t)
  const offer = made('seen-1.0')
  const later = made('later-1.0')
  await using shut = await startForgedUpstream()
  await using good = await startForgedUpstream(offer)
  const missing = join(dir, 'not-there-yet')
  const open = shut.faults.add({ path: /^/, action: { kind: 'status', status: 403 } })
  const config = {
    upstreams: [
      {
        ...{ name: 'unread', url: shut.url, keys: [publicKey], optional: true },
        token_file: missing,
      },
      {
        ...{ name: 'refused', url: `${shut.url}/`.replace('127.0.0.1', 'localhost') },
        ...{ keys: [publicKey], optional: true, token_file: tokenFile },
      },
      { name: 'good', url: good.url, keys: [publicKey] },
    ],
  }
  await using weir = await startWeir({ config })
  await weir.waitForLog('settings.warning', ({ warning }) =>
    String(warning).includes(`token_file ${missing}: there is no such file`),
  )
  await mustDeliver(client, weir.url, [offer])
  const failed = await weir.waitForLog(
    'upstream.failed',
    ({ upstream, object }) => upstream === 'unread' && object === 'narinfo',
  )
  t.match(failed, { code: 'credentials', reason: `token_file ${missing}: no such file` })
  const refused = await weir.waitForLog(
    'upstream.failed',
    ({ upstream, object }) => upstream === 'refused' && object === 'narinfo',
  )
  t.match(refused, { code: 'status', reason: /^status 403: .* token_file$/ })
  t.ok(
    shut.requests.every(({ headers }) => headers.host?.startsWith('localhost')),
    'nobody is asked without what was to be shown',
  )
  for (const { event } of weir.logs) t.not(event, 'upstream.down')

  open()
  await shut.put(later)
  await writeFile(missing, `${token}\n`)
  const isRead = () => shut.requests.some(({ headers }) => headers.host?.startsWith('127.0.0.1'))
  for (let asked = 0; !isRead(); asked++) await askNarinfo(weir, made(`asked-${asked}.0`))
  t.equal((await askNarinfo(weir, later)).status, 200, 'a file that is there now is read')
  const args = [main, 'check', '--config', weir.configFile]
  const check = await runCommand(process.execPath, args)
  t.equal(check.code, 0)
  t.notMatch(check.stdout, token)
})

t.test('no reload gives credentials to a Weir that other machines reach', async (t) => {
  const { tokenFile } = await secretFiles(t)
  await using own = await startForgedUpstream()
  const upstream = { name: 'own', url: own.url, keys: [publicKey] }
  const open = { server: { listen: '0.0.0.0:0' } }
  await using weir = await startWeir({ config: { upstreams: [upstream], extra: open } })
  const known = { upstreams: [{ ...upstream, token_file: tokenFile }] }
  const refused = await reloadWeir(weir, { ...known, extra: open }, 'settings.refused')
  t.match(refused.text, 'the upstream \\"own\\" has credentials')
  // In the file Weir listens on loopback, and until it is started again it does not.
  const later = await reloadWeir(weir, known, 'settings.refused')
  t.match(later.text, 'which holds until a restart, while the upstream \\"own\\" has credentials')
  const meant = { server: { ...open.server, expose_private: true } }
  await reloadWeir(weir, { ...known, extra: meant })
  t.equal((await askNarinfo(weir, made('missing-3.0'))).status, 404)
  t.strictSame(shownTo(own), [`Bearer ${token}`])
})

t.test(
  'through a proxy the upstream sees its token, and the proxy only its own',
  { skip: (await hasOpenssl()) ? false : 'openssl is not installed' },
  async (t) => {
    const { dir, tokenFile } = await secretFiles(t)
    const authority = await makeAuthority(dir)
    const { cert, key: secretKey } = await authority.issue('cache', { names: 'DNS:cache.test' })
    const offer = made('proxied-1.0')
    await using origin = await startForgedUpstream(offer)
    const seen: (string | undefined)[] = []
    const front = createServer({ cert, key: secretKey }, (request, response) => {
      seen.push(request.headers.authorization, request.headers['proxy-authorization'])
      void rawGet(origin.url + (request.url ?? '')).then(({ status, body }) =>
        response.writeHead(status).end(body),
      )
    })
    await new Promise<void>((resolve) => {
      front.listen(0, '127.0.0.1', resolve)
    })
    t.teardown(() => {
      front.closeAllConnections()
      front.close()
    })
    const address = front.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const authorization = basicOf(`u:${proxyPassword}`)
    await using proxy = await startProxy({ authorization })
    const env = {
      ...{ https_proxy: `http://u:${proxyPassword}@127.0.0.1:${proxy.port}` },
      ...{ no_proxy: '', NO_PROXY: '' },
    }
    const config = {
      upstreams: [
        {
          ...{ name: 'own', url: `https://cache.test:${port}`, keys: [publicKey] },
          ...{ token_file: tokenFile, ca_file: authority.certFile },
        },
      ],
      extra: { log: { level: 'trace', format: 'json' } },
    }
    await using weir = await startWeir({ config, env })
    await mustDeliver(client, weir.url, [offer])
    t.strictSame([...new Set(seen)], [`Bearer ${token}`, undefined])
    t.strictSame(
      [...new Set(proxy.requests.map(({ method, target }) => `${method} ${target}`))],
      [`CONNECT cache.test:${port}`],
    )
    for (const { headers } of proxy.requests) {
      t.equal(headers['proxy-authorization'], authorization)
      t.equal(headers.authorization, undefined)
    }
    mustBeSilent(t, await everythingTold(weir, [offer, made('missing-2.0')], env))

    // The same options, and other authorities in the same file: a reload counts.
    await writeFile(authority.certFile, (await makeAuthority(workFolder(t))).cert)
    await reloadWeir(weir, config)
    const unseen = await askWhy(weir, made('unseen-1.0'), { isLive: true })
    t.match(JSON.stringify(unseen), /tls, the certificate of cache\.test comes from an authority/)
  },
)
