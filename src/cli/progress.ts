import type { CliWorld } from './command.ts'

/** How far something has come. */
export type Step = {
  /** From 0 to 1. */
  readonly fraction: number
  /** What was done so far, in words. */
  readonly done: string
  /** Bytes that were done so far, for the rate; `null` where nothing is counted in bytes. */
  readonly bytes: number | null
}

/** Says how far a command has come: in one line that changes, on a terminal; elsewhere in a line now and then. */
export type Progress = {
  show(step: Step): void
  /** Makes room for a line of another kind. */
  clear(): void
}

/** Elsewhere than on a terminal nothing is written of what is done soon, then a line each time so much more was done … */
const quietMs = 5000
const fractionBetween = 0.1
/** … or so much time has gone by. */
const msBetween = 30_000

const barWidth = 20

/** On standard error; `nowMs` is a clock that only goes forwards. */
export function createProgress(
  { err, isTerminal }: Pick<CliWorld, 'err' | 'isTerminal'>,
  nowMs: () => number,
): Progress {
  const startMs = nowMs()
  let told = { fraction: 0, atMs: startMs }
  return {
    show(step) {
      const now = nowMs()
      const text = describeStep(step, now - startMs)
      if (isTerminal) {
        err(`\r\u001b[K${bar(step.fraction)} ${text}`)
      } else if (now - startMs >= quietMs && isDue(told, step, now)) {
        told = { fraction: step.fraction, atMs: now }
        err(`${text}\n`)
      }
    },
    clear() {
      if (isTerminal) err('\r\u001b[K')
    },
  }
}

function isDue(told: { fraction: number; atMs: number }, step: Step, now: number): boolean {
  return step.fraction >= told.fraction + fractionBetween || now - told.atMs >= msBetween
}

function bar(fraction: number): string {
  const filled = Math.round(Math.min(1, fraction) * barWidth)
  return `[${'#'.repeat(filled)}${'-'.repeat(barWidth - filled)}]`
}

/** A step in words: how much, how fast, how long it will still take. */
export function describeStep({ fraction, done, bytes }: Step, elapsedMs: number): string {
  const parts = [`${Math.floor(Math.min(1, fraction) * 100)} %`, done]
  if (elapsedMs >= 1000) {
    if (bytes !== null) parts.push(`${formatBytes(bytes / (elapsedMs / 1000))}/s`)
    if (fraction > 0) parts.push(`${formatTime((elapsedMs * (1 - fraction)) / fraction)} left`)
  }
  return parts.join(', ')
}

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const

/** Bytes in the unit that suits them: `1.5 GiB`. */
export function formatBytes(bytes: number): string {
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10))
  const number = bytes / 1024 ** power
  return `${power === 0 ? Math.round(number) : number.toFixed(1)} ${units[power] ?? 'B'}`
}

/** A time in the two units that suit it: `3 min 20 s`. */
export function formatTime(ms: number): string {
  const seconds = Math.round(ms / 1000)
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`
  const hours = Math.floor(minutes / 60)
  if (hours < 48) return `${hours} h ${minutes % 60} min`
  return `${Math.floor(hours / 24)} days ${hours % 24} h`
}
