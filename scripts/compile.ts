/**
 * Makes `dist`, what the packed package runs: Node strips no types below node_modules. What the page shows in a browser is in it, and
 * a copy of liblzma's WebAssembly build, for as a dependency its package would want a compiler when it is installed (docs/decisions).
 */
import { execFileSync } from 'node:child_process'
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(import.meta.dirname, '..')
const dist = join(root, 'dist')
const vendored = join(dist, 'vendor', 'node-liblzma')

rmSync(dist, { recursive: true, force: true })
compile('-p', 'tsconfig.build.json')
compile('-p', 'src/page/browser', '--noEmit', 'false', '--rootDir', 'src', '--outDir', 'dist')
for (const file of ['style.css', 'icon.svg']) {
  cpSync(join(root, 'src/page', file), join(dist, 'page', file))
}
vendorLiblzma()

function compile(...args: readonly string[]): void {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  execFileSync(process.execPath, [tsc, ...args], { cwd: root, stdio: 'inherit' })
}

function vendorLiblzma(): void {
  const library = dirname(dirname(fileURLToPath(import.meta.resolve('node-liblzma/wasm'))))
  const isNeeded = (path: string): boolean => !/\.map$|\.d\.ts$|inline|browser/.test(path)
  cpSync(join(library, 'wasm'), join(vendored, 'lib', 'wasm'), {
    recursive: true,
    filter: isNeeded,
  })
  for (const file of ['errors.js', 'types.js']) {
    cpSync(join(library, file), join(vendored, 'lib', file))
  }
  cpSync(join(library, '..', 'LICENSE'), join(vendored, 'LICENSE'))
  const importers = readdirSync(dist, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.js') && !file.startsWith('vendor'))
    .filter((file) => readFileSync(join(dist, file), 'utf8').includes("'node-liblzma/wasm'"))
  const [importer, ...others] = importers
  if (importer === undefined || others.length > 0) {
    throw new Error(`one file imports node-liblzma/wasm, not ${importers.length}`)
  }
  const up = '../'.repeat(importer.split('/').length - 1)
  const text = readFileSync(join(dist, importer), 'utf8')
  writeFileSync(
    join(dist, importer),
    text.replace("'node-liblzma/wasm'", `'${up}vendor/node-liblzma/lib/wasm/index.js'`),
  )
}
