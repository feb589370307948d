import { median } from '../median.ts'
import { formatTable } from '../table.ts'
import { type CaseName, caseNames, type Sample } from './round.ts'

/** What a ratio of two cases' wall times shall be at most. */
export type Goal = { readonly of: CaseName; readonly over: CaseName; readonly atMost: number }

/**
 * Medians a case, then the ratios of wall times with their goals, as lines of text. On a
 * machine that others use too, the ratios of CPU times (client and proxy together) are the steadier ones.
 */
export function formatReport(samples: readonly Sample[], goals: readonly Goal[]): string {
  const of = (name: CaseName) => samples.filter((sample) => sample.name === name)
  const rows = caseNames.filter((name) => of(name).length > 0).map((name) => row(name, of(name)))
  const heads = ['', 'wall s', 'each', 'client CPU s', 'proxy CPU s', 'MB from upstream']
  const wall = (name: CaseName) => median(of(name).map((sample) => sample.wallSeconds))
  const cpu = (name: CaseName) =>
    median(of(name).map((sample) => sample.clientCpuSeconds + sample.proxyCpuSeconds))
  const ratios = goals.map(({ of: one, over, atMost }) => {
    const ratio = wall(one) / wall(over)
    const verdict = ratio <= atMost ? 'reached' : 'missed'
    return `${one} / ${over}: ${ratio.toFixed(2)} (goal ${atMost.toFixed(2)}: ${verdict}); in CPU time ${(cpu(one) / cpu(over)).toFixed(2)}`
  })
  return [formatTable([heads, ...rows]), '', ...ratios].join('\n')
}

function row(name: CaseName, samples: readonly Sample[]): readonly string[] {
  const of = (pick: (sample: Sample) => number) => median(samples.map(pick))
  return [
    name,
    of((sample) => sample.wallSeconds).toFixed(2),
    samples.map((sample) => sample.wallSeconds.toFixed(2)).join(' '),
    of((sample) => sample.clientCpuSeconds).toFixed(2),
    of((sample) => sample.proxyCpuSeconds).toFixed(2),
    (of((sample) => sample.upstreamBytes) / 1e6).toFixed(1),
  ]
}
