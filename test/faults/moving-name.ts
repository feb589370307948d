import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Where a name leads: an address, to no address (`unknown`), or the question is never answered (`silent`). */
export type Whereabouts = '127.0.0.1' | '127.0.0.2' | 'unknown' | 'silent'

/** A host name that a process resolves as the test wants, at every moment. */
export type MovingName = Disposable & {
  readonly host: string
  /** For the environment of the process. */
  readonly env: Readonly<Record<'NODE_OPTIONS' | 'NAMES_FILE', string>>
  readonly moveTo: (where: Whereabouts) => void
}

/** Makes a name that leads to 127.0.0.1; at 127.0.0.2 nobody listens. */
export function createMovingName(): MovingName {
  const dir = mkdtempSync(join(tmpdir(), 'weir-names-'))
  const host = 'upstream.test'
  const file = join(dir, 'names.json')
  const moveTo = (where: Whereabouts) => {
    const next = join(dir, 'next.json')
    writeFileSync(next, JSON.stringify({ [host]: where }))
    renameSync(next, file)
  }
  moveTo('127.0.0.1')
  const preload = join(import.meta.dirname, 'replace-lookup.ts')
  return {
    ...{ host, moveTo },
    env: { NODE_OPTIONS: `--import=${preload}`, NAMES_FILE: file },
    [Symbol.dispose]: () => {
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
