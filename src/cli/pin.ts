import { fetchWanted } from '../admin/fetch-wanted.ts'
import type { PinList, Pinning, PinReport } from '../admin/pins.ts'
import type { CliWorld, Command } from './command.ts'
import { loadWithPaths, type PathOperand } from './path-operand.ts'
import { pinningFor } from './pinning-for.ts'
import { count, mebibytes } from './words.ts'

/** `weir pin` */
export const pinCommand: Command = {
  summary: 'keep paths in the cache, with all that they refer to',
  help: `Pins store paths with their closures: nothing of them is ever evicted, however long it is unused and however little room there is.
What is not stored yet is fetched by the Weir that runs; what cannot be had is listed, with the reason, and the exit status is 1. The pin is made all
the same: what comes later stays. Where no Weir runs, what is stored is pinned. To pin a path again looks its closure up again.

  weir pin /nix/store/<hash>-<name>      weir pins      weir unpin /nix/store/<hash>-<name>

A path that is not trusted cannot be pinned. What is recalled goes, pinned or not.`,
  operands: 'PATH | HASH …',
  options: {},
  flags: {},
  async run({ world, operands, load }) {
    const { settings, paths } = await loadWithPaths({ operands, load })
    await using pinning = await pinningFor(world, settings)
    let missing = 0
    for (const path of paths) missing += await pinOne(world, pinning, path)
    const list = await pinning.list()
    warnOfSize(world, list)
    return missing === 0 ? 0 : 1
  },
}

/** Pins one path, and fetches what is not stored of it; returns how many paths could not be had. */
async function pinOne(world: CliWorld, pinning: Pinning, { hash }: PathOperand): Promise<number> {
  const report = await pinning.pin(hash)
  world.out(`${describePin(report)}\n`)
  let missing = report.missing.length
  const tellMissing = (path: string, why: string): void => {
    world.err(`weir: ${path}: ${why}\n`)
  }
  for (const { path, why } of report.missing) tellMissing(path, why)
  // Who interrupts the command ends it.
  const { signal } = new AbortController()
  for await (const fetched of fetchWanted(pinning, report.wanted, signal)) {
    if (fetched.kind === 'stored') {
      const from = fetched.upstream === null ? '' : `, from ${fetched.upstream}`
      world.out(`fetched ${fetched.path}: ${mebibytes(fetched.bytes)}${from}\n`)
    } else {
      missing += 1
      tellMissing(fetched.path, fetched.why)
    }
  }
  if (missing > 0) {
    world.err(
      `weir: ${report.path}: ${count(missing, 'path')} of its closure could not be had; the pin is kept: run weir pin again to try again\n`,
    )
  }
  return missing
}

function describePin({ path, isNew, paths, wanted, missing }: PinReport): string {
  const rest = wanted.length === 0 ? '' : `, ${wanted.length} to be fetched`
  const lost = missing.length === 0 ? '' : `, ${missing.length} that cannot be had`
  return `${path}: ${isNew ? 'pinned' : 'was pinned already'}: ${count(paths, 'path')}${rest}${lost}`
}

function warnOfSize({ err }: CliWorld, { pinnedBytes, limitBytes }: PinList): void {
  if (pinnedBytes <= limitBytes) return
  err(
    `weir: warning: what is pinned takes ${mebibytes(pinnedBytes)}, and cache.max_size is ${mebibytes(limitBytes)}: the cache stays above it, and keeps nothing else\n`,
  )
}
