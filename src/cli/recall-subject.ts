import { stringify } from 'smol-toml'
import { parseStorePathHash, type StoreDir } from '../nix/store-path.ts'
import type { Block } from '../policy/block.ts'
import { readBlocks } from '../settings/block-schema.ts'
import { SettingsError } from '../settings/settings-error.ts'
import { type CommandInput, UsageError } from './command.ts'

/** What a command line says that a recall is of, as a [[block]] of the configuration would say it. */
export type WrittenSubject = Readonly<Record<string, string | readonly string[]>>

/** The options that say what a recall is of, besides the operand, and the keys of a [[block]]. */
const optionOf: Readonly<Record<string, string>> = {
  path: 'PATH',
  hash: 'HASH',
  package: '--package',
  versions: '--versions',
  key: '--key',
  nar_hash: '--nar-hash',
  reason: '--reason',
}

/** What the recall is of; throws a `UsageError` unless it is exactly one thing. */
export function readSubject({ operands, options }: CommandInput): WrittenSubject {
  const [operand, ...more] = operands
  const { package: name, versions, key, 'nar-hash': narHash } = options
  const subjects: WrittenSubject[] = [
    ...(operand === undefined
      ? []
      : [parseStorePathHash(operand) === null ? { path: operand } : { hash: operand }]),
    ...(name === undefined ? [] : [{ package: name }]),
    ...(key === undefined ? [] : [{ key }]),
    ...(narHash === undefined ? [] : [{ nar_hash: narHash }]),
  ]
  const [subject] = subjects
  if (subject === undefined || subjects.length > 1 || more.length > 0) {
    throw new UsageError('say one of PATH, HASH, --package, --key and --nar-hash')
  }
  if (versions === undefined) return subject
  if (name === undefined) throw new UsageError('--versions is for --package')
  return { ...subject, versions: versions.split(',').map((version) => version.trim()) }
}

/** The recall of a subject; throws a `UsageError` that says what is wrong with which option. */
export function toBlock(subject: WrittenSubject, reason: string, storeDir: StoreDir): Block {
  try {
    const [block] = readBlocks(
      stringify({ block: [{ ...subject, reason }] }),
      'the command line',
      storeDir,
    )
    if (block !== undefined) return block
    throw new UsageError('says nothing to recall')
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error
    const mistakes = error.problems.map(({ key, found, allowed }) => {
      const [, name = ''] = /^block\[0\]\.(\w+)/.exec(key ?? '') ?? []
      return `${optionOf[name] ?? 'the recall'}: found ${found}.\n  Allowed: ${allowed}.`
    })
    throw new UsageError(mistakes.join('\n'), { cause: error })
  }
}
