/** Takes the pictures of docs/page.md anew: `node test/page/screenshots.ts`. */
import { join, resolve } from 'node:path'
import { startBrowser } from './browser.ts'
import { startBusyWeir } from './busy-weir.ts'

const folder = resolve(import.meta.dirname, '../../docs/images')
/** Clients that ask now and then, for so many rounds of the charts' steps. */
const rounds = 90

await using busy = await startBusyWeir({
  reason: 'CVE-2024-3094: a back door in liblzma',
  rule: 'our own software is only ever ours',
})
const browser = await startBrowser()
const { weir, offers, large } = busy
for (let round = 0; round < rounds; round += 1) {
  const wave = 4 + Math.round(3 * Math.sin(round / 9))
  const wanted = Object.values(offers).slice(0, wave)
  for (const offer of wanted) await busy.fetch(offer)
  await new Promise((resolve) => setTimeout(resolve, 1000))
}
const arriving = busy.fetch(large.offer)
const pictures = [
  ['status-light', '/', 'light', 1100, 1180],
  ['status-dark', '/', 'dark', 1100, 1180],
  ['status-phone', '/', 'dark', 390, 1000],
  ['search-light', '/search?q=', 'light', 1100, 640],
  ['path-light', `/path/${offers.openssl.narinfo.storePath.hash}`, 'light', 1100, 900],
  ['refused-dark', `/path/${offers.refused.narinfo.storePath.hash}`, 'dark', 1100, 900],
  ['path-phone', `/path/${offers.refused.narinfo.storePath.hash}`, 'light', 390, 1000],
  ['policy-light', '/policy', 'light', 1100, 760],
] as const
for (const [name, path, colorScheme, width, height] of pictures) {
  const page = await browser.newPage({ colorScheme, viewport: { width, height } })
  await page.goto(weir.url + path)
  if (path === '/') await page.getByText(' MiB of 3.8 MiB').waitFor()
  await page.screenshot({ path: join(folder, `${name}.png`) })
  await page.close()
}
large.gate.open()
await arriving
await browser.close()
