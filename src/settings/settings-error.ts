/** One mistake in the configuration, with what its author needs to mend it; never holds a secret. */
export type SettingsProblem = {
  /** The file, or the environment variable, or the command's option. */
  readonly source: string
  /** Where in it, as in `upstream[1].keys[0]`; null for the whole of it. */
  readonly key: string | null
  /** Counted from 1; null where it is not known for certain. */
  readonly line: number | null
  /** What is there, shortened and without secrets; part of a sentence. */
  readonly found: string
  /** What may be there instead; part of a sentence. */
  readonly allowed: string
  /** The known name that an unknown one resembles. */
  readonly nearest: string | null
}

/** What went wrong on the whole: no such file, a file that can't be read, not TOML or JSON, or values that are not allowed. */
export type SettingsErrorCode = 'not-found' | 'unreadable' | 'syntax' | 'invalid'

/** The configuration can't be used; `problems` (at least one) say why. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError'
  readonly code: SettingsErrorCode
  readonly problems: readonly SettingsProblem[]

  constructor(
    code: SettingsErrorCode,
    problems: readonly SettingsProblem[],
    options?: { readonly cause: unknown },
  ) {
    super(problems.map((problem) => formatSettingsProblem(problem)).join('\n\n'), options)
    this.code = code
    this.problems = problems
  }
}

/** All problems of an error for a person to read, one a paragraph. */
export function formatSettingsError(error: SettingsError): string {
  return error.problems.map((problem) => formatSettingsProblem(problem)).join('\n\n')
}

function formatSettingsProblem(problem: SettingsProblem): string {
  const { source, line, key, found, allowed, nearest } = problem
  const place = [source, line === null ? null : `line ${line}`, key].filter((part) => part !== null)
  const question = nearest === null ? '' : `Did you mean "${nearest}"? `
  return `${place.join(', ')}: found ${found}.\n  ${question}Allowed: ${allowed}.`
}
