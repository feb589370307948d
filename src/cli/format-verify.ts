import type { StrayReport, Strays } from '../upkeep/strays.ts'
import type { VerifyProgress, WrongNar } from '../upkeep/verify.ts'
import { indent } from './columns.ts'
import { formatBytes } from './progress.ts'
import { count } from './words.ts'

/** What was wrong with a NAR, and what was done about it. */
export function describeWrong({ path, file, finding }: WrongNar): string {
  const aside = `put aside as quarantine/${file}`
  switch (finding) {
    case 'no-file':
      return `${path}: its file is gone; forgotten`
    case 'wrong-size':
      return `${path}: its file has another size than was recorded; ${aside}`
    case 'unreadable-file':
      return `${path}: its disk does not give its file any more; ${aside}`
    case 'file-hash-mismatch':
      return `${path}: its file is another one than was recorded; ${aside}`
    case 'nar-mismatch':
      return `${path}: its file does not hold the NAR that was promised; ${aside}`
    case 'unreadable-claim':
      return `${path}: its record cannot be read for this [server] store_dir; left as it is`
  }
}

/** What lies in the cache folder without belonging to anything; empty where nothing does. */
export function describeStrays(report: StrayReport): string {
  const part = (strays: Strays, what: string): string => {
    const { examples } = strays
    if (strays.count === 0) return ''
    const more = strays.count > examples.length ? ['…'] : []
    return `${what}: ${strays.count}\n${indent([...examples, ...more].join('\n'), 2)}\n`
  }
  return [
    part(report.narsWithoutRecord, 'NARs without a record, taken up when somebody asks for them'),
    part(report.narinfosWithoutNar, 'narinfos without their NAR'),
    part(report.others, 'files that are not of the cache, or were put aside'),
  ].join('')
}

/** What a verification did. */
export function verifySummary({
  last,
  wrong,
}: {
  readonly last: VerifyProgress | null
  readonly wrong: number
}): string {
  const { checked = 0, checkedBytes = 0 } = last ?? {}
  const found = wrong === 0 ? 'all sound' : `${wrong} wrong`
  return `${count(checked, 'NAR')} verified, ${formatBytes(checkedBytes)}: ${found}\n`
}
