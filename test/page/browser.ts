/** Debian's Chromium, and what must never happen in it while a page is shown. */
import { accessSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import axe, { type AxeResults } from 'axe-core'
import { type Browser, chromium, type Page } from 'playwright-core'

/** Starts Chromium without a window. */
export function startBrowser(): Promise<Browser> {
  const isRoot = process.getuid?.() === 0
  return chromium.launch({
    executablePath: onPath('chromium'),
    // Chromium's sandbox refuses to run for root.
    args: ['--disable-gpu', ...(isRoot ? ['--no-sandbox'] : [])],
  })
}

function onPath(program: string): string {
  const found = (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((dir) => join(dir, program))
    .find((file) => {
      try {
        accessSync(file)
        return true
      } catch {
        return false
      }
    })
  if (found === undefined) throw new Error(`${program} is missing: sh scripts/install-chromium.sh`)
  return found
}

/** Notes what a page complains of, and asks of others than `origin`. */
export function watchPage(page: Page, origin: string): readonly string[] {
  const complaints: string[] = []
  page.on('console', (message) => {
    const type = message.type()
    if (type === 'error' || type === 'warning') complaints.push(`${type}: ${message.text()}`)
  })
  page.on('pageerror', (error) => complaints.push(`thrown: ${error.message}`))
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== origin) complaints.push(`asked: ${request.url()}`)
  })
  return complaints
}

/** The serious and critical violations that axe finds, a line each: of all rules, or of contrast alone. */
export async function violations(
  page: Page,
  { of }: { readonly of: 'everything' | 'contrast' },
): Promise<readonly string[]> {
  // By the debugger, which no Content-Security-Policy binds.
  if (await page.evaluate<boolean>(`typeof axe === 'undefined'`)) await page.evaluate(axe.source)
  const only = of === 'everything' ? {} : { runOnly: ['color-contrast'] }
  const options = JSON.stringify({ ...only, resultTypes: ['violations'] })
  const { violations } = await page.evaluate<AxeResults>(`axe.run(${options})`)
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(' ')).join(', ')}`)
}

/** By how many pixels a page is wider than its window. */
export function overflow(page: Page): Promise<number> {
  return page.evaluate<number>('document.documentElement.scrollWidth - innerWidth')
}
