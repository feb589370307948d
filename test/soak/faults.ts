import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { faultCases } from '../faults/fault-cases.ts'
import type { FaultCase } from '../faults/fault-case.ts'
import { formatTable } from '../faults/fault-table.ts'
import { type FaultWorld, makeFaultWorld } from '../faults/fault-world.ts'
import { tryFallback } from '../faults/fallback.ts'
import { pullNetwork } from '../faults/network.ts'
import { slowIn, titleOf, wrongIn } from '../faults/judge-row.ts'
import { type FaultRow, tryFault } from '../faults/try-fault.ts'
import type { Tally } from './tally.ts'

export type FaultsOptions = {
  readonly seed: number
  /** Those whose titles match this; all where it is empty. */
  readonly only: string
  /** Told of each row. */
  readonly heard: (line: string) => void
  readonly tally: Tally
}

/** Tries every fault, alone and beside a good upstream, with Weir's and the client's own settings; returns the table. */
export async function tryFaults(options: FaultsOptions): Promise<string> {
  const { seed, only, heard, tally } = options
  await using world = await makeFaultWorld({ seed, paths: 12 })
  const rows: FaultRow[] = []
  for (const fault of faultCases.filter(({ title }) => new RegExp(only).test(title))) {
    for (const isAlone of [true, false]) {
      const row = await tryCarefully(world, fault, isAlone).catch((error: unknown) => {
        tally.fail(`${fault.title}: ${String(error)}`)
        return null
      })
      if (row === null) continue
      rows.push(row)
      for (const what of [...wrongIn(row), ...slowIn(row)]) tally.fail(what)
      tally.count('rows')
      heard(inWords(row))
    }
  }
  if (only === '') await tryTheRest(world, options)
  return formatTable(rows)
}

/** What is no row: the network goes for all upstreams, and a client that may build for itself. */
async function tryTheRest(world: FaultWorld, options: FaultsOptions): Promise<void> {
  const { seed, heard, tally } = options
  const { why, wrong } = await pullNetwork({ world })
  heard(`the network goes in the middle of a closure: ${why}`)
  for (const what of wrong) tally.fail(`the network goes in the middle of a closure: ${what}`)
  for (const what of await tryFallback(seed)) tally.fail(what)
}

/** A row that is slow is tried once more: who else keeps the machine busy is no fault of Weir's. */
async function tryCarefully(
  world: FaultWorld,
  fault: FaultCase,
  isAlone: boolean,
): Promise<FaultRow> {
  const row = await tryFault({ world, fault, isAlone, isTimed: true })
  return slowIn(row).length === 0 ? row : tryFault({ world, fault, isAlone, isTimed: true })
}

function inWords(row: FaultRow): string {
  const times = Object.entries(row.outcomes).map(
    ([when, { isRight, ms }]) => `${when} ${isRight ? '' : 'fails, '}${Math.round(ms)} ms`,
  )
  const { first, later } = row.outcomes
  return `${titleOf(row)}: ${times.join('; ')}; ${first.why || later.why}`
}

const document = join(import.meta.dirname, '../../docs/faults.md')
const mark = '<!-- the table: npm run soak -- faults --write -->\n'

/** Puts a table in the place of the one in docs/faults.md. */
export async function writeTable(table: string): Promise<void> {
  const [head] = (await readFile(document, 'utf8')).split(mark)
  await writeFile(document, `${head ?? ''}${mark}\n${table}`)
}

/** The cells of the table in docs/faults.md, heads first. */
export async function readTable(): Promise<readonly (readonly string[])[]> {
  const [, table = ''] = (await readFile(document, 'utf8')).split(mark)
  const lines = table.split('\n').filter((line) => line.startsWith('|'))
  const cells = lines.map((line) => line.split('|').map((cell) => cell.trim()))
  return cells.map((line) => line.slice(1, -1)).filter((_, index) => index !== 1)
}
