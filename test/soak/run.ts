/** A long trial: `node test/soak/run.ts NAME [--seed N]`. Ends with one line that says what came of it. */
import { parseArgs } from 'node:util'
import { tryCrowd } from './crowd.ts'
import { tryKills } from './kills.ts'
import { encodings } from './made-cache.ts'
import { tryOldClients } from './old-clients.ts'
import { createTally, summary, type Tally } from './tally.ts'
import { tryWrongNars } from './wrong-nars.ts'

type Trial = (options: { readonly seed: number; readonly tally: Tally }) => Promise<void>

const trials: Readonly<Record<string, Trial>> = {
  'wrong-nars': (options) => tryWrongNars({ ...options, each: 4 }),
  crowd: (options) =>
    tryCrowd({
      ...options,
      seconds: Number(values.seconds ?? 600),
      rawClients: 24,
      nixClients: 3,
      paths: 300,
    }),
  kills: (options) =>
    tryKills({ ...options, kills: values.short === true ? 10 : 200, clients: 6, paths: 80 }),
  'old-clients': (options) => tryOldClients({ ...options, encodings }),
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { seed: { type: 'string' }, short: { type: 'boolean' }, seconds: { type: 'string' } },
})
const [name = ''] = positionals
const trial = trials[name]
const seed = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed)
if (trial === undefined || !Number.isSafeInteger(seed)) {
  console.error(`soak: a trial of ${Object.keys(trials).join(', ')}, and --seed with a number`)
  process.exit(2)
}
const tally = createTally((what) => {
  console.error(`${name}: ${what}`)
})
console.log(`${name}: seed ${seed}`)
await trial({ seed, tally }).catch((error: unknown) => {
  tally.fail(error instanceof Error ? (error.stack ?? error.message) : String(error))
})
console.log(summary(name, seed, tally))
process.exitCode = tally.failures.length === 0 ? 0 : 1
