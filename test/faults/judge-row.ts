import type { FaultRow } from './try-fault.ts'

/** How much longer a command may take than without the fault, once Weir knows of it, and once it is over. */
const maxMoreMs = 2000

/** Everything in a row that is not as it must be, but for times. */
export function wrongIn(row: FaultRow): readonly string[] {
  const { fault, isAlone, outcomes, absences } = row
  const { calm, first, later, after } = outcomes
  const mustSucceed = !isAlone || fault.isSurvivable
  const wrong = (isWrong: boolean, what: string): readonly string[] =>
    isWrong ? [`${titleOf(row)}: ${what}`] : []
  return [
    ...wrong(!calm.isRight, `without the fault: ${calm.why}`),
    ...wrong(mustSucceed && !first.isRight, `the first command failed: ${first.why}`),
    ...wrong(mustSucceed && !later.isRight, `the next command failed: ${later.why}`),
    ...wrong(!mustSucceed && later.isRight, 'the next command succeeded: from where?'),
    ...wrong(!later.isRight && later.why === '', 'the client says nothing'),
    ...wrong(absences > 0, `the client remembers ${absences} paths as absent`),
    ...wrong(!after.isRight, `once it was over: ${after.why}`),
  ]
}

/** The times in a row that are too long. */
export function slowIn(row: FaultRow): readonly string[] {
  const { fault, isAlone, outcomes } = row
  const { calm, later, after } = outcomes
  const awayMs = fault.awayMs?.[isAlone ? 'alone' : 'beside'] ?? 0
  const slow = (ms: number, mostMs: number, when: string): readonly string[] =>
    ms - calm.ms > mostMs
      ? [`${titleOf(row)}: ${when} ${Math.round(ms)} ms, without the fault ${Math.round(calm.ms)}`]
      : []
  return [
    ...(later.isRight ? slow(later.ms, maxMoreMs + awayMs, 'the next command took') : []),
    ...(after.isRight ? slow(after.ms, maxMoreMs, 'once it was over it took') : []),
  ]
}

/** What a row is about. */
export function titleOf({ fault, isAlone }: FaultRow): string {
  return `an upstream that ${fault.title}, ${isAlone ? 'alone' : 'beside a good one'}`
}
