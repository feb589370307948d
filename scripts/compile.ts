/**
 * Makes `dist`, what the packed package runs: Node strips no types below node_modules. The WebAssembly build of liblzma is
 * copied into it, for as a dependency its package would want a compiler when it is installed (docs/decisions).
 */
import { execFileSync } from 'node:child_process'
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(import.meta.dirname, '..')
const dist = join(root, 'dist')
const vendored = join(dist, 'vendor', 'node-liblzma')

rmSync(dist, { recursive: true, force: true })
execFileSync(
  process.execPath,
  [join(root, 'node_modules/typescript/bin/tsc'), '-p', join(root, 'tsconfig.build.json')],
  { stdio: 'inherit' },
)
vendorLiblzma()

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
