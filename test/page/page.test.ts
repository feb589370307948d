import t from 'tap'
import type { BrowserContext, Page } from 'playwright-core'
import { reloadWeir } from '../lab/ask-weir.ts'
import { makeOffer, type Offer } from '../lab/forged-offer.ts'
import { rawGet } from '../lab/raw-client.ts'
import { overflow, startBrowser, violations, watchPage } from './browser.ts'
import { hostileTexts, startBusyWeir } from './busy-weir.ts'

t.setTimeout(120_000)
const busy = await startBusyWeir(hostileTexts)
const browser = await startBrowser()
t.teardown(async () => {
  await browser.close()
  await busy[Symbol.asyncDispose]()
})
const { weir, offers } = busy
const pathOf = ({ narinfo }: Offer): string => `/path/${narinfo.storePath.hash}`

const pages = {
  status: '/',
  search: '/search?q=',
  'a trusted path': pathOf(offers.openssl),
  'a refused path': pathOf(offers.refused),
  policy: '/policy',
} as const

type Teardowns = { teardown(act: () => unknown): unknown }
type Visit = { readonly page: Page; readonly complaints: readonly string[] }

/** Opens a page in a context of its own, which is closed with the test. */
async function open(
  t: Teardowns,
  path: string,
  options: Parameters<typeof browser.newContext>[0] = {},
): Promise<Visit> {
  const context = await browser.newContext(options)
  t.teardown(() => context.close())
  return openIn(context, path)
}

async function openIn(context: BrowserContext, path: string): Promise<Visit> {
  const page = await context.newPage()
  page.setDefaultTimeout(30_000)
  const complaints = watchPage(page, weir.url)
  await page.goto(weir.url + path)
  return { page, complaints }
}

t.test('what is shown moves: charts, decisions, and a NAR on its way', async (t) => {
  const { page, complaints } = await open(t, '/')
  const live = (name: string) => page.locator(`[data-live="${name}"]`)
  await page.getByText('Live', { exact: true }).waitFor()
  t.match(await live('transfers').innerText(), 'No NAR is on its way.')
  const drawn = () => page.evaluate<string>(`document.querySelector('canvas').toDataURL()`)
  const before = await drawn()
  const large = busy.fetch(busy.large.offer)
  await live('transfers').getByText(' MiB of 3.8 MiB').waitFor()
  t.match(await live('transfers').innerText(), /firefox-132\.0\.1\s+nixos[^]*1 client/)
  busy.large.gate.open()
  await large
  await live('transfers').getByText('No NAR is on its way.').waitFor()
  await live('decisions').getByText('firefox-132.0.1').first().waitFor()
  // Each answer is drawn before the next one is asked for.
  while ((await drawn()) === before) await page.waitForResponse(/\/api\/v1\/traffic$/)
  t.equal(await page.locator('canvas').count(), 4)
  t.strictSame(complaints, [])
})

t.test('a search finds a path, whose page shows the rule and the signatures', async (t) => {
  const { page, complaints } = await open(t, '/')
  await page.getByRole('searchbox').fill('openssl')
  await page.keyboard.press('Enter')
  await page.getByRole('link', { name: 'openssl-3.0.14' }).click()
  await page.getByRole('heading', { name: 'openssl-3.0.14' }).waitFor()
  const text = await page.locator('main').innerText()
  t.match(text, 'trusted\n')
  t.match(text, 'the root of trust comes from the official cache alone')
  t.match(text, 'signed by cache.nixos.org-1')
  t.match(text, /cache\.nixos\.org-1\s+✓ valid, and this key may vouch here/)
  t.match(text, /Stored[^]*nixos[^]*✓ trusted/)
  t.strictSame(complaints, [])
})

t.test('a hash, a base name or a store path is taken to its page', async (t) => {
  const { hash, baseName } = offers.curl.narinfo.storePath
  for (const q of [hash, baseName, `/nix/store/${baseName}`, `/nix/store/${baseName}/bin/curl`]) {
    const { status, headers } = await rawGet(`${weir.url}/search?q=${encodeURIComponent(q)}`)
    t.equal(status, 303, q)
    t.equal(headers.location, `/path/${hash}`)
  }
})

t.test('a refused path says why, without the token and with it', async (t) => {
  const { page, complaints } = await open(t, pathOf(offers.refused))
  const main = page.locator('main')
  t.match(await main.innerText(), /refused\n+acme: upstream-not-allowed/)
  t.match(await main.innerText(), /acme\.cachix\.org-1\s+· valid, but this key may not vouch here/)
  t.notMatch(await main.innerText(), 'Events')
  await page.getByLabel('Admin token').fill(busy.adminToken)
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Events' }).waitFor()
  await page.getByRole('button', { name: 'Ask the upstreams now' }).click()
  await page.getByRole('heading', { name: 'Upstreams, asked just now' }).waitFor()
  await page.goto(weir.url)
  await page.locator('[data-live="decisions"]').getByText('127.0.0.1').first().waitFor()
  await page.getByRole('button', { name: 'Forget it' }).click()
  await page
    .locator('[data-live="decisions"]')
    .getByText('127.0.0.1')
    .first()
    .waitFor({ state: 'detached' })
  t.strictSame(complaints, [])
})

t.test('what others wrote is shown as text', async (t) => {
  const { page, complaints } = await open(t, pathOf(offers.recalled))
  t.match(await page.locator('main').innerText(), hostileTexts.reason)
  await page.goto(`${weir.url}/policy`)
  t.match(await page.locator('main').innerText(), hostileTexts.reason)
  t.match(await page.locator('main').innerText(), hostileTexts.rule)
  await page.goto(weir.url)
  await page.getByText('Live', { exact: true }).waitFor()
  t.match(await page.locator('[data-live="decisions"]').innerText(), hostileTexts.rule)
  const markup = '<script>document.title = "owned"</script>'
  await page.goto(`${weir.url}/search?q=${encodeURIComponent(`"'${markup}`)}`)
  t.match(await page.locator('main').innerText(), markup)
  t.equal(await page.getByRole('searchbox').inputValue(), `"'${markup}`)
  t.equal(await page.title(), `"'${markup} – Weir`)
  t.strictSame(complaints, [])
})

t.test('the pages say what matters without JavaScript', async (t) => {
  const context = await browser.newContext({ javaScriptEnabled: false })
  t.teardown(() => context.close())
  const page = await context.newPage()
  const textOf = async (path: string): Promise<string> => {
    await page.goto(weir.url + path)
    return page.locator('body').innerText()
  }
  const status = await textOf('/')
  t.match(status, /NARs from the store\n+\d/)
  t.match(status, /nixos\s+http:\/\/127\.0\.0\.1:\d+\s+✓ in use/)
  t.match(status, 'openssl-3.0.14')
  t.match(status, `substituters = ${weir.url}`)
  t.match(status, 'Refresh')
  t.notMatch(status, /Admin token|Copy|Pause/, 'what needs JavaScript is not there')
  t.match(await textOf('/search?q=bash*'), /bash-5\.2p37\s+bash\s/)
  t.match(await textOf(pathOf(offers.openssl)), 'valid, and this key may vouch here')
  t.match(await textOf('/policy'), 'What none matches is allowed')
})

t.test('the lines for a client are copied', async (t) => {
  const { page } = await open(t, '/', { permissions: ['clipboard-read', 'clipboard-write'] })
  await page.getByRole('button', { name: 'Copy' }).click()
  await page.getByText('Copied.').waitFor()
  const copied = await page.evaluate<string>('navigator.clipboard.readText()')
  t.match(copied, new RegExp(`^substituters = ${weir.url}\ntrusted-public-keys = .+\n`))
})

t.test('who pauses the page is left alone until they go on', async (t) => {
  const { page } = await open(t, '/')
  await page.getByText('Live', { exact: true }).waitFor()
  const pause = page.getByRole('button', { name: 'Pause' })
  await pause.press('Enter')
  await page.getByText('Paused', { exact: true }).waitFor()
  await busy.fetch(offers.git)
  await pause.press('Enter')
  await page.getByText('Live', { exact: true }).waitFor()
})

t.test(
  'axe finds nothing serious, light or dark, and nothing is too wide for a phone',

  async (t) => {
    const { page, complaints } = await open(t, '/', { viewport: { width: 390, height: 800 } })
    await page.locator('canvas').first().waitFor()
    for (const [name, path] of Object.entries(pages)) {
      await page.emulateMedia({ colorScheme: 'light' })
      if (name !== 'status') await page.goto(weir.url + path)
      t.strictSame(await violations(page, { of: 'everything' }), [], name)
      t.equal(await overflow(page), 0, `${name} is as wide as its window`)
      await page.emulateMedia({ colorScheme: 'dark' })
      t.strictSame(await violations(page, { of: 'contrast' }), [], `${name} in the dark`)
    }
    t.strictSame(complaints, [])
  },
)

t.test('a link on another site opens a page', async (t) => {
  const context = await browser.newContext()
  t.teardown(() => context.close())
  const page = await context.newPage()
  await page.route('http://elsewhere.example/', (route) =>
    route.fulfill({ contentType: 'text/html', body: `<a href="${weir.url}/policy">Weir</a>` }),
  )
  await page.goto('http://elsewhere.example/')
  await page.getByRole('link').click()
  await page.getByRole('heading', { name: 'Policy' }).waitFor()
  const framed = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }
  for (const dest of ['iframe', 'script']) {
    const headers = { ...framed, 'sec-fetch-dest': dest }
    t.equal((await rawGet(`${weir.url}/policy`, { headers })).status, 403, dest)
  }
})

t.test('pages are never kept, and what they load is kept for ever', async (t) => {
  const { headers, body } = await rawGet(`${weir.url}/`)
  t.equal(headers['cache-control'], 'no-store')
  t.match(headers['content-security-policy'], /^default-src 'none'; script-src 'self';/)
  t.equal(headers['x-content-type-options'], 'nosniff')
  t.equal(headers['referrer-policy'], 'no-referrer')
  const address = /\/ui\/[0-9a-f]+\/style\.css/.exec(body.toString())?.[0] ?? ''
  const asset = await rawGet(weir.url + address)
  t.match(asset.headers['cache-control'], 'immutable')
  const again = { headers: { 'if-none-match': asset.headers.etag } }
  t.equal((await rawGet(weir.url + address, again)).status, 304)
  const outside = address.replace('style.css', '../pages.ts')
  t.equal((await rawGet(weir.url, { path: outside })).status, 404)
})

t.test(
  'where the page is off, it needs the token; a client of the cache notices nothing',
  async (t) => {
    const { config } = busy
    if (typeof config === 'string') throw new Error('the configuration is a table')
    await reloadWeir(weir, { ...config, extra: { ...config.extra, server: { page: false } } })
    const { status, body } = await rawGet(`${weir.url}/`)
    t.equal(status, 401)
    t.notMatch(body.toString(), 'openssl')
    const context = await browser.newContext()
    t.teardown(() => context.close())
    const page = await context.newPage()
    await page.goto(weir.url)
    await page.getByLabel('Admin token').fill('wrong')
    await page.keyboard.press('Enter')
    await page.getByText('This is not the admin token').waitFor()
    await page.getByLabel('Admin token').fill(busy.adminToken)
    await page.keyboard.press('Enter')
    await page.getByText('Live', { exact: true }).waitFor()
    const { hash } = offers.openssl.narinfo.storePath
    const headers = { authorization: `Bearer ${busy.adminToken}` }
    const found = await rawGet(`${weir.url}/search?q=${hash}`, { headers })
    t.equal(found.status, 200, 'who asks with the token is led nowhere, and has the page at once')
    t.match(found.body.toString(), 'openssl')
    t.equal((await rawGet(`${weir.url}/nix-cache-info`)).status, 200)
    t.equal(
      (await rawGet(`${weir.url}/${offers.openssl.narinfo.storePath.hash}.narinfo`)).status,
      200,
    )
    await reloadWeir(weir, config)
  },
)

t.test('a page whose Weir is gone says so', async (t) => {
  const { page } = await open(t, '/')
  await page.getByText('Live', { exact: true }).waitFor()
  await busy.fetch(makeOffer({ name: 'nobody-has-it-2.0' }))
  await weir.stop()
  await page.getByText('Weir does not answer. Asking again.').waitFor()
})
