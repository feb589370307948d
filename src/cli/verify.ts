import { parseSize } from '../settings/size.ts'
import type { RebuildReport } from '../upkeep/rebuild.ts'
import type { Upkeep } from '../upkeep/upkeep.ts'
import type { VerifyProgress } from '../upkeep/verify.ts'
import { type CliWorld, type Command, UsageError } from './command.ts'
import { describeStrays, describeWrong, verifySummary } from './format-verify.ts'
import { pathGlobs } from './path-globs.ts'
import { createProgress, formatBytes, formatTime } from './progress.ts'
import { untilInterrupted, withUpkeep } from './with-upkeep.ts'
import { count } from './words.ts'

/** Beside a running Weir, whose clients want the disk as well. */
const defaultRateBeside = 64 * 1024 * 1024

/** `weir verify` */
export const verifyCommand: Command = {
  summary: 'read what is stored again, and put aside what is wrong',
  help: `Reads every stored NAR, decodes it, and holds it against its NarHash, NarSize, content address and file hash. What is wrong goes
to quarantine/ in the cache folder, with a note of why, and is fetched again when somebody asks for it. Also says what lies in the
folder without belonging to anything. Exit status 1 where something was wrong, or was not finished. Ctrl-C stops it.

  weir verify                          everything
  weir verify 'firefox-*' /nix/store/<hash>-<name>
  weir verify --rate 20MiB             so many bytes a second; beside a running Weir 64MiB where it is not said
  weir verify --rebuild                makes the catalog anew from the files, without reading the NARs

The Weir that runs on the state folder does it; where none runs, this command does, with all threads that [nar] workers allows.`,
  operands: '[PATH | GLOB …]',
  options: { rate: 'how many bytes to read a second, such as 50MiB' },
  flags: { rebuild: 'make the catalog anew from the files instead' },
  async run({ world, operands, options, flags, load }) {
    const rate = readRate(options['rate'])
    if (flags.has('rebuild') && (operands.length > 0 || rate !== null)) {
      throw new UsageError('--rebuild stands alone')
    }
    const { settings } = await load()
    const selection = pathGlobs(operands, settings.server.storeDir)
    return withUpkeep(world, settings, ({ upkeep, isRunning }) =>
      flags.has('rebuild')
        ? rebuildStore(world, upkeep)
        : verifyStore(world, upkeep, {
            selection,
            bytesPerSecond: rate ?? (isRunning ? defaultRateBeside : null),
          }),
    )
  },
}

function readRate(text: string | undefined): number | null {
  if (text === undefined) return null
  const rate = parseSize(text)
  if (rate === null || rate === 0) {
    throw new UsageError(`--rate takes a size such as 50MiB, not "${text}"`)
  }
  return rate
}

type Request = Parameters<Upkeep['verify']>[0]
type Seen = { last: VerifyProgress | null; wrong: number }

async function verifyStore(world: CliWorld, upkeep: Upkeep, request: Request): Promise<number> {
  const progress = createProgress(world, () => performance.now())
  const seen: Seen = { last: null, wrong: 0 }
  const finished = await stoppable(world, async (signal) => {
    for await (const event of upkeep.verify(request, signal)) {
      if (event.kind === 'progress') {
        seen.last = event
        progress.show(stepOf(event, request))
        continue
      }
      if (event.kind === 'wrong') seen.wrong += 1
      progress.clear()
      world.out(event.kind === 'wrong' ? `${describeWrong(event)}\n` : describeStrays(event))
    }
  })
  progress.clear()
  if (!finished) world.err('weir: stopped before the end\n')
  world.out(verifySummary(seen))
  const isNothingSelected = request.selection.length > 0 && (seen.last?.checked ?? 0) === 0
  if (finished && isNothingSelected) world.err('weir: nothing that is stored matches\n')
  return finished && seen.wrong === 0 && !isNothingSelected ? 0 : 1
}

function stepOf(event: VerifyProgress, { selection }: Request) {
  const { nars, totalNars, checked, checkedBytes, totalBytes } = event
  const fraction =
    selection.length > 0 || totalBytes === 0
      ? nars / Math.max(1, totalNars)
      : checkedBytes / totalBytes
  const done = `${count(checked, 'NAR')}, ${formatBytes(checkedBytes)}`
  return { fraction, done, bytes: checkedBytes }
}

async function rebuildStore(world: CliWorld, upkeep: Upkeep): Promise<number> {
  const seen: { last: RebuildReport | null } = { last: null }
  const finished = await stoppable(world, async (signal) => {
    for await (const report of upkeep.rebuild(signal)) seen.last = report
  })
  if (!finished) world.err('weir: stopped before the end: what was found so far is recorded\n')
  if (seen.last !== null) world.out(describeRebuild(seen.last))
  return finished ? 0 : 1
}

function describeRebuild(report: RebuildReport): string {
  const { restored, present, unsealed, wrongFiles, forgotten, elapsedMs } = report
  return [
    `${count(restored, 'NAR')} recorded from the files, in ${formatTime(elapsedMs)}; ${present} had a record`,
    ...(forgotten > 0 ? [`${count(forgotten, 'record')} forgotten: the files are gone`] : []),
    ...(wrongFiles > 0
      ? [`${count(wrongFiles, 'narinfo')} passed over: the NAR is gone, or has another size`]
      : []),
    ...(unsealed > 0
      ? [
          `${count(unsealed, 'narinfo')} without a record that this Weir wrote: taken up when somebody asks for the path`,
        ]
      : []),
    '',
  ].join('\n')
}

/** Whether it came to its end; false where somebody stopped it. */
function stoppable(world: CliWorld, act: (signal: AbortSignal) => Promise<void>): Promise<boolean> {
  return untilInterrupted(world, async (signal) => {
    try {
      await act(signal)
      return true
    } catch (error) {
      if (!signal.aborted) throw error
      return false
    }
  })
}
