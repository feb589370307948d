import { readdir, readFile } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import t from 'tap'
import layers from './layers.json' with { type: 'json' }

const src = resolve(import.meta.dirname, '../../src')
const allowed: Readonly<Record<string, readonly string[]>> = layers

/** The folders within one layer that an import goes from and to; `null` where it stays in one, or either file lies in none. */
function innerFolders(from: string, to: string): { to: string; isAllowed: boolean } | null {
  const foldersOf = (file: string): readonly string[] => file.split('/').slice(0, -1)
  const [layer = '', one] = foldersOf(from)
  const [other, two] = foldersOf(to)
  if (layer !== other || one === undefined || two === undefined || one === two) return null
  const inner = allowed[`${layer}/${one}`]
  return { to: `${layer}/${two}`, isAllowed: inner?.includes(two) ?? true }
}

t.test('imports go where layers.json says, and nowhere else', async (t) => {
  const files = (await readdir(src, { recursive: true })).filter((file) => file.endsWith('.ts'))
  for (const file of files) {
    const [from = ''] = file.split('/')
    // The roots (main, app, the worker) put together what the layers keep apart.
    if (!file.includes('/')) continue
    const text = await readFile(join(src, file), 'utf8')
    for (const [, specifier = ''] of text.matchAll(/from '(\.[^']+)'/g)) {
      const [to = ''] = relative(src, resolve(src, file, '..', specifier)).split('/')
      const inner = innerFolders(file, relative(src, resolve(src, file, '..', specifier)))
      if (inner !== null && !inner.isAllowed) {
        t.fail(`src/${file} imports from ${inner.to}, which layers.json does not let it`)
      }
      if (to === from || allowed[from]?.includes(to) === true) continue
      t.fail(
        `src/${file} imports from ${to}: ${from} may use ${allowed[from]?.join(', ') ?? 'nothing'}`,
      )
    }
    const isPure = from === 'nix' || from === 'policy'
    const effects = /from 'node:(fs|net|http|https|dns|child_process|worker_threads|sqlite)/.exec(
      text,
    )
    if (isPure && effects !== null)
      t.fail(`src/${file} is to be pure, and imports ${effects[1] ?? ''}`)
  }
  t.ok(files.length > 100)
})
