/**
 * A long trial: `node test/soak/run.ts NAME [--seed=N] [--times=N] [--seconds=N] [--gigabytes=N] [--only=PATTERN]
 * [--write]`. It says what fails as it happens, and
 * ends with one line that says what came of it; the exit status is 1 where something failed.
 */
import { parseArgs } from 'node:util'
import { tryDashboards } from '../grafana/try-dashboards.ts'
import { tryBig } from './big.ts'
import { tryCrowd } from './crowd.ts'
import { tryDistance } from './distance.ts'
import { tryFaults, writeTable } from './faults.ts'
import { mountSmallDisk, tryFullDisk } from './full-disk.ts'
import { tryKills } from './kills.ts'
import { encodings } from './made-cache.ts'
import { tryOldClients } from './old-clients.ts'
import { tryRandomFaults } from './random-faults.ts'
import { createTally, summary, type Tally } from './tally.ts'
import { tryWrongNars } from './wrong-nars.ts'

type Base = { readonly seed: number; readonly tally: Tally }
/** A number that was given, or else the usual one. */
type Given = (option: 'times' | 'seconds' | 'gigabytes', usual: number) => number
type Trial = (base: Base, given: Given, also: Also) => Promise<void>
/** A part of the titles that are tried, and whether what came of it is written into the documentation. */
type Also = { readonly only: string; readonly isWritten: boolean }

const trials: Readonly<Record<string, Trial>> = {
  'wrong-nars': async (base, given) => {
    for (const narEncoding of ['zstd', 'upstream'] as const) {
      await tryWrongNars({ ...base, each: given('times', 4), narEncoding })
    }
  },
  'old-clients': (base) =>
    tryOldClients({
      ...base,
      encodings,
      changes: [
        ['zstd', 'upstream'],
        ['upstream', 'zstd'],
      ],
    }),
  'full-disk': async (base) => {
    for (const encoding of encodings) {
      const disk = await mountSmallDisk(64_000_000)
      if (typeof disk === 'string') throw new Error(disk)
      await using small = disk
      await tryFullDisk({ ...base, encoding, paths: 48, narBytes: 2_000_000 }, small)
    }
  },
  big: ({ tally }, given) =>
    tryBig({
      tally,
      bytes: given('gigabytes', 4) * 1e9,
      clients: 3,
      kinds: [
        ['zeros', 'none'],
        ['zeros', 'xz'],
        ['zeros', 'zstd'],
        ['noise', 'none'],
        ['noise', 'xz'],
        ['noise', 'zstd'],
      ],
      maxLagMs: 10,
      maxRssMiB: 100,
    }),
  kills: (base, given) => tryKills({ ...base, kills: given('times', 200), clients: 6, paths: 80 }),
  crowd: (base, given) =>
    tryCrowd({
      ...base,
      ...{ seconds: given('seconds', 600), rawClients: 24, nixClients: 3, paths: 300 },
    }),
  dashboards: ({ tally }, given) => tryDashboards({ tally, seconds: given('seconds', 120) }),
  distance: (base) =>
    tryDistance({ ...base, upstreams: 5, paths: 200, roundTripMs: 40, isTimed: true }),
  'random-faults': (base, given) =>
    tryRandomFaults({
      ...base,
      seconds: given('seconds', 600),
      ...{ rawClients: 8, nixClients: 2, paths: 200, closures: 4, maxRequests: 1.2 },
    }),
  faults: async (base, _given, { only, isWritten }) => {
    const heard = (line: string) => {
      console.log(`faults: ${line}`)
    }
    const table = await tryFaults({ ...base, only, heard })
    // A part of the table is not the table.
    if (isWritten && only === '') await writeTable(table)
  },
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string' },
    times: { type: 'string' },
    seconds: { type: 'string' },
    gigabytes: { type: 'string' },
    only: { type: 'string', default: '' },
    write: { type: 'boolean', default: false },
  },
})
const [name = ''] = positionals
const { only, write, ...numbers } = values
const trial = trials[name]
const seed = Number(numbers.seed ?? Date.now() % 1_000_000)
const given: Given = (option, usual) => Number(numbers[option] ?? usual)
const areNumbers = Object.values(numbers).every((value) => /^\d+(\.\d+)?$/.test(value))
if (trial === undefined || !areNumbers) {
  console.error(`soak: name one of ${Object.keys(trials).join(', ')}; options are numbers`)
  process.exit(2)
}
const tally = createTally((what) => {
  console.error(`${name}: ${what}`)
})
console.log(`${name}: begins, with seed ${seed}`)
await trial({ seed, tally }, given, { only, isWritten: write }).catch((error: unknown) => {
  tally.fail(error instanceof Error ? (error.stack ?? error.message) : String(error))
})
console.log(summary(name, seed, tally))
process.exitCode = tally.failures.length === 0 ? 0 : 1
