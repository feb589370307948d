import { checkDocument } from './check-document.ts'
import { crossCheck } from './cross-checks.ts'
import { BUILT_IN_DEFAULTS, composeDraft } from './draft.ts'
import { findFileWarnings } from './file-warnings.ts'
import { listKnownKeys } from './known-keys.ts'
import { type ConfigFileName, readConfigFile } from './read-config-file.ts'
import { type Environment, readEnvironment } from './read-environment.ts'
import { resolvePaths } from './resolve-paths.ts'
import { type Settings } from './settings.ts'
import { SettingsError } from './settings-error.ts'
import { toSettings } from './to-settings.ts'
import { findWarnings } from './warnings.ts'

/** What the configuration depends on; nothing is read but the file itself; the files that it names are only looked at. */
export type LoadSettingsOptions = {
  /** The value of `--config`; it outranks WEIR_CONFIG. */
  readonly configFile?: string | undefined
  readonly env: Environment
  /** Absolute, or empty where there is none. */
  readonly homeDir: string
  /** How many processors there are, as `os.availableParallelism()` tells. */
  readonly cores: number
}

/** A configuration that may be used. */
export type LoadedSettings = {
  readonly settings: Settings
  /** The absolute path of the file, or `built-in defaults`. */
  readonly source: string
  /** What is allowed, and yet seldom meant; a sentence each. */
  readonly warnings: readonly string[]
}

/** Loads the configuration, environment over file over defaults; throws SettingsError with all problems at once. */
export async function loadSettings(options: LoadSettingsOptions): Promise<LoadedSettings> {
  const { env, homeDir, cores } = options
  const name = nameConfigFile(options)
  const file = name === null ? null : await readConfigFile(name)
  const environment = readEnvironment(env, listKnownKeys())
  const draft = composeDraft(file, environment.overrides)
  const checked = checkDocument(draft)
  if ('problems' in checked) {
    throw new SettingsError('invalid', [...environment.problems, ...checked.problems])
  }
  const { document } = checked
  const resolved = resolvePaths(document, draft, { env, homeDir })
  const conflicts = resolved.problems.length > 0 ? [] : crossCheck(document, resolved.paths, draft)
  const problems = [...environment.problems, ...resolved.problems, ...conflicts]
  if (problems.length > 0) throw new SettingsError('invalid', problems)
  const settings = toSettings(document, resolved.paths, cores)
  return {
    settings,
    source: file?.path ?? BUILT_IN_DEFAULTS,
    warnings: [...findWarnings(document), ...(await findFileWarnings(settings))],
  }
}

function nameConfigFile({ configFile, env }: LoadSettingsOptions): ConfigFileName | null {
  if (configFile !== undefined) return { path: configFile, namedBy: '--config' }
  const path = env['WEIR_CONFIG'] ?? ''
  return path === '' ? null : { path, namedBy: 'WEIR_CONFIG' }
}
