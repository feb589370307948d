import type { EventEmitter } from 'node:events'
import type { LoadedSettings } from '../settings/load-settings.ts'

/** What a command may use of the world. */
export type CliWorld = {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly homeDir: string
  readonly cores: number
  readonly out: (text: string) => void
  /** Bytes for standard output, at the speed of whoever reads them. */
  readonly write: (bytes: Uint8Array) => Promise<void>
  readonly err: (text: string) => void
  /** Whether a person reads standard error. */
  readonly isTerminal: boolean
  /** Emits the signals of the process. */
  readonly signals: Pick<EventEmitter, 'on' | 'once' | 'off'>
}

/** A command's input, beyond the world. */
export type CommandInput = {
  readonly world: CliWorld
  readonly version: string
  /** What stands behind the command's name, options left out. */
  readonly operands: readonly string[]
  readonly options: Readonly<Record<string, string | undefined>>
  /** The flags that were given. */
  readonly flags: ReadonlySet<string>
  /** Loads the configuration; what is wrong with it is thrown. */
  readonly load: () => Promise<LoadedSettings>
}

/** One command of the command line. */
export type Command = {
  readonly summary: string
  /** What `weir help COMMAND` says below the usage line. */
  readonly help: string
  /** The operands, as the usage line shows them. */
  readonly operands: string
  /** Options besides `--config`, each with a value: what each is for. */
  readonly options: Readonly<Record<string, string>>
  /** Options besides `--help` that are there or not. */
  readonly flags: Readonly<Record<string, string>>
  /** Returns the exit status; a `UsageError` is shown with the usage line. */
  run(input: CommandInput): Promise<number>
}

/** A command line that cannot be meant. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}
