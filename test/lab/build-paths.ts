import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeCompressible, writeIncompressible } from './big-files.ts'
import { mustRun } from './run-command.ts'

/** The paths of the lab; what each is like stands in lab.nix, and `add…` are sources added to the store. */
export type LabPathName =
  | 'dep'
  | 'top'
  | 'wide'
  | 'fod'
  | 'fodSha1Recursive'
  | 'text'
  | 'contentAddressed'
  | 'compressible'
  | 'incompressible'
  | 'addTree'
  | 'addFlatSha256'
  | 'addFlatMd5'
  | 'addRecursiveSha512'

export type LabPaths = Readonly<Record<LabPathName, string>>

/** The lab's Nix expressions. */
export const labNix = join(import.meta.dirname, 'lab.nix')

async function writeSources(dir: string) {
  const tree = join(dir, 'tree')
  const hello = join(dir, 'hello.txt')
  await mkdir(join(tree, 'sub'), { recursive: true })
  await writeFile(join(tree, 'run.sh'), '#!/bin/sh\necho hi\n')
  await chmod(join(tree, 'run.sh'), 0o755)
  await symlink('run.sh', join(tree, 'link'))
  await writeFile(join(tree, 'empty'), '')
  await writeFile(join(tree, 'sub', 'x'), 'x\n')
  await writeFile(hello, `hello ${Array.from({ length: 200 }, (_, i) => String(i)).join(' ')}\n`)
  return { tree, hello }
}

async function buildBig(dir: string, env: NodeJS.ProcessEnv) {
  const sources = { compressible: join(dir, 'text'), incompressible: join(dir, 'noise') }
  await writeCompressible(sources.compressible, 40_000_000)
  await writeIncompressible(sources.incompressible, 100_000_000)
  const add = (file: string) => mustRun('nix-store', ['--add', file], { env })
  const argument = async (name: keyof typeof sources) =>
    ['--argstr', `${name}Source`, await add(sources[name])] as const
  const args = [...(await argument('compressible')), ...(await argument('incompressible'))]
  const build = (attribute: string) =>
    mustRun('nix-build', ['--no-out-link', labNix, ...args, '-A', attribute], { env })
  return {
    compressible: await build('compressible'),
    incompressible: await build('incompressible'),
  }
}

/** Builds every path of the lab in the machine's own store; `dir` takes the sources. */
export async function buildPaths(dir: string, env: NodeJS.ProcessEnv): Promise<LabPaths> {
  const { tree, hello } = await writeSources(dir)
  const build = (attribute: string) =>
    mustRun('nix-build', ['--no-out-link', labNix, '-A', attribute], { env })
  const add = (...args: readonly string[]) => mustRun('nix-store', args, { env })
  const text = ['--eval', '--json', '--read-write-mode', labNix, '-A', 'text']
  return {
    dep: await build('dep'),
    top: await build('top'),
    wide: await build('wide'),
    fod: await build('fod'),
    fodSha1Recursive: await build('fodSha1Recursive'),
    contentAddressed: await build('contentAddressed'),
    text: JSON.parse(await mustRun('nix-instantiate', text, { env })) as string,
    addTree: await add('--add', tree),
    addFlatSha256: await add('--add-fixed', 'sha256', hello),
    addFlatMd5: await add('--add-fixed', 'md5', hello),
    addRecursiveSha512: await add('--add-fixed', '--recursive', 'sha512', tree),
    ...(await buildBig(dir, env)),
  }
}
