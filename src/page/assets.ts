/**
 * What the pages load: styles, uPlot, and modules for the browser. Those are TypeScript in a checkout, and are stripped of their types
 * here; the package has them compiled.
 */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { stripTypeScriptTypes } from 'node:module'
import { dirname, extname } from 'node:path'
import { fileURLToPath } from 'node:url'

export type Asset = {
  readonly contentType: string
  readonly body: Buffer
}

export type Assets = {
  /** `/ui/…/`: names what is in it, so that a browser may keep it for ever. */
  readonly folder: string
  /** By the name behind the folder, such as `browser/main.js`. */
  readonly files: ReadonlyMap<string, Asset>
}

const folders = ['browser', 'view']
const isSource = import.meta.url.endsWith('.ts')

/** Reads the assets: once, when the first page is asked for. */
export async function readAssets(): Promise<Assets> {
  const uplot = dirname(fileURLToPath(import.meta.resolve('uplot')))
  const files = new Map<string, Asset>([
    ['style.css', await asset('text/css', new URL('style.css', import.meta.url))],
    ['icon.svg', await asset('image/svg+xml', new URL('icon.svg', import.meta.url))],
    ['uplot.css', await asset('text/css', `${uplot}/uPlot.min.css`)],
    ['uplot.js', await asset('text/javascript', `${uplot}/uPlot.iife.min.js`)],
    ...(await Promise.all(folders.map(readModules))).flat(),
  ])
  const digest = createHash('sha256')
  for (const [name, { body }] of files) digest.update(`${name}\0${body.length}\0`).update(body)
  return { folder: `/ui/${digest.digest('hex').slice(0, 16)}/`, files }
}

async function asset(contentType: string, file: URL | string): Promise<Asset> {
  return { contentType: `${contentType}; charset=utf-8`, body: await readFile(file) }
}

async function readModules(folder: string): Promise<readonly (readonly [string, Asset])[]> {
  const at = new URL(`${folder}/`, import.meta.url)
  const extension = isSource ? '.ts' : '.js'
  const names = (await readdir(at)).filter((name) => extname(name) === extension).sort()
  return Promise.all(
    names.map(async (name) => {
      const text = await readFile(new URL(name, at), 'utf8')
      const body = Buffer.from(isSource ? toJavaScript(text) : text)
      const contentType = 'text/javascript; charset=utf-8'
      return [`${folder}/${name.replace(/\.ts$/, '.js')}`, { contentType, body }] as const
    }),
  )
}

function toJavaScript(text: string): string {
  return stripTypeScriptTypes(text).replaceAll(/ from '(\.[^']+)\.ts'/g, " from '$1.js'")
}
